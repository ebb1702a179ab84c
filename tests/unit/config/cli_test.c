/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's syntax: the forms of flags, lists, and the words for mistakes. */
#include "config/cli.h"

#include "base/macros.h"
#include "test.h"

static const char *
get_nothing(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return NULL;
}

struct run {
    struct arena arena;
    struct options options;
    struct slice message;
    enum cli_verdict verdict;
};

/* Arguments up to NULL, after the program's name. */
static struct run *
run(const char *const *args)
{
    static struct run r;
    static bool is_used;
    static char program[] = "/opt/bin/remorad";
    char *argv[32] = { program };
    int argc = 1;
    if (is_used)
        arena_fini(&r.arena);
    is_used = true;
    arena_init(&r.arena);
    for (; args[argc - 1] != NULL; argc++)
        argv[argc] = arena_str(&r.arena, slice_str(args[argc - 1]));
    r.verdict = cli_parse(&r.arena, argc, argv, (struct env){ .get = get_nothing }, &r.options,
                          &r.message);
    return &r;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

TEST(defaults_are_those_of_the_reference)
{
    const struct options *o = &RUN("--app-id=shop")->options;
    CHECK_SLICE_IS(o->app_id, "shop");
    CHECK_EQ_INT(o->http_port, 3500);
    CHECK_EQ_INT(o->grpc_port, 50001);
    CHECK_EQ_INT(o->metrics_port, 9090);
    CHECK_EQ_INT(o->profile_port, 7777);
    CHECK_EQ_INT(o->internal_grpc_port, 0);
    CHECK(!o->has_public_port);
    CHECK_EQ_INT(o->app_port, 0);
    CHECK_EQ_INT(o->max_body_bytes, 4 * 1024 * 1024);
    CHECK_EQ_INT(o->read_buffer_bytes, 4096);
    CHECK_EQ_INT(o->grace_ms, 5000);
    CHECK_EQ_INT(o->block_shutdown_ms, 0);
    CHECK_EQ_INT(o->listen_addresses.count, 1);
    CHECK_SLICE_IS(o->listen_addresses.items[0], "");
    CHECK_EQ_INT(o->resources.count, 0);
    CHECK_EQ_INT(o->log_level, LOG_INFO);
    CHECK_SLICE_IS(o->app_channel_address, "127.0.0.1");
    CHECK_SLICE_IS(o->app_health_check_path, "/healthz");
    CHECK_EQ_INT(o->app_max_concurrency, -1);
    CHECK(o->enable_metrics);
    CHECK_EQ_INT(o->actors_disseminate_timeout_ns, 30000000000);
    CHECK_SLICE_IS(o->control_plane_trust_domain, "localhost");
    CHECK_EQ_INT(o->sandbox, SANDBOX_BEST_EFFORT);
    CHECK_EQ_INT(o->worker_count, 1);
    CHECK_EQ_INT(o->ignored.count, 0);
}

TEST(a_flag_may_be_written_in_all_forms)
{
    CHECK_EQ_STR(RUN("--app-id=a")->options.app_id.data, "a");
    CHECK_EQ_STR(RUN("--app-id", "a")->options.app_id.data, "a");
    CHECK_EQ_STR(RUN("-app-id=a")->options.app_id.data, "a");
    CHECK_EQ_STR(RUN("-app-id", "a")->options.app_id.data, "a");
    CHECK_EQ_STR(RUN("--app-id", "--strange")->options.app_id.data, "--strange");
    CHECK_EQ_STR(RUN("--app-id=a=b")->options.app_id.data, "a=b");
    CHECK_EQ_INT(RUN("--app-id=a", "--app-max-concurrency", "-1")->options.app_max_concurrency, -1);
    CHECK_EQ_INT(RUN("--app-id=a", "--app-max-concurrency", "-10")->options.app_max_concurrency,
                 -10);
    CHECK_EQ_STR(RUN("--app-id=a", "--app-id=b")->options.app_id.data, "b");
    CHECK_EQ_STR(RUN("word", "--app-id=a", "-", "other")->options.app_id.data, "a");
    CHECK_EQ_STR(RUN("--app-id=a", "--", "--app-id=b")->options.app_id.data, "a");
}

TEST(a_bool_needs_no_value_and_takes_none_from_the_next_word)
{
    CHECK(RUN("--app-id=a", "--log-as-json")->options.log_as_json);
    CHECK(RUN("--app-id=a", "-log-as-json")->options.log_as_json);
    CHECK(RUN("--app-id=a", "--log-as-json", "false")->options.log_as_json);
    CHECK(!RUN("--app-id=a", "--log-as-json=false")->options.log_as_json);
    CHECK(!RUN("--app-id=a", "--enable-metrics=0")->options.enable_metrics);
}

TEST(lists_are_repeated_or_separated_by_commas)
{
    const struct options *o = &RUN("--app-id=a", "--resources-path=x,y", "--resources-path", "z",
                                   "--resources-path=", "--resources-path=\"p,q\"\"\",r")
                                   ->options;
    REQUIRE(o->resources.count == 5);
    CHECK_EQ_STR(o->resources.items[0].data, "x");
    CHECK_EQ_STR(o->resources.items[1].data, "y");
    CHECK_EQ_STR(o->resources.items[2].data, "z");
    CHECK_EQ_STR(o->resources.items[3].data, "p,q\"");
    CHECK_EQ_STR(o->resources.items[4].data, "r");
}

static void
check_bad_usage(const struct run *r, const char *message)
{
    CHECK_EQ_INT(r->verdict, CLI_BAD_USAGE);
    CHECK_SLICE_IS(r->message, message);
}

TEST(mistakes_are_named_in_the_reference_s_words)
{
    check_bad_usage(RUN("--no-such-flag"), "unknown flag: --no-such-flag");
    check_bad_usage(RUN("--no-such-flag=5"), "unknown flag: --no-such-flag");
    check_bad_usage(RUN("-no-such-flag"), "unknown flag: --no-such-flag");
    check_bad_usage(RUN("--app-id"), "flag needs an argument: --app-id");
    check_bad_usage(RUN("--=x"), "bad flag syntax: --=x");
    check_bad_usage(RUN("---app-id"), "bad flag syntax: ---app-id");
    check_bad_usage(RUN("-x"), "unknown shorthand flag: 'x' in -x");
    check_bad_usage(RUN("--app-max-concurrency=abc"),
                    "invalid argument \"abc\" for \"--app-max-concurrency\" flag: "
                    "strconv.ParseInt: parsing \"abc\": invalid syntax");
    check_bad_usage(RUN("--app-max-concurrency=99999999999999999999"),
                    "invalid argument \"99999999999999999999\" for \"--app-max-concurrency\" flag: "
                    "strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
    check_bad_usage(RUN("--scheduler-job-streams=-1"),
                    "invalid argument \"-1\" for \"--scheduler-job-streams\" flag: "
                    "strconv.ParseUint: parsing \"-1\": invalid syntax");
    check_bad_usage(RUN("--log-as-json=maybe"),
                    "invalid argument \"maybe\" for \"--log-as-json\" flag: "
                    "strconv.ParseBool: parsing \"maybe\": invalid syntax");
    check_bad_usage(RUN("--dapr-block-shutdown-duration=5"),
                    "invalid argument \"5\" for \"--dapr-block-shutdown-duration\" flag: "
                    "time: missing unit in duration \"5\"");
}

TEST(help_version_and_build_info_need_no_app_id)
{
    CHECK_EQ_INT(RUN("--help")->verdict, CLI_HELP);
    CHECK_EQ_INT(RUN("-h")->verdict, CLI_HELP);
    CHECK_EQ_INT(RUN("-help")->verdict, CLI_HELP);
    CHECK_EQ_INT(RUN("--version")->verdict, CLI_VERSION);
    CHECK_EQ_INT(RUN("--build-info")->verdict, CLI_BUILD_INFO);
    CHECK_EQ_INT(RUN("--wait")->verdict, CLI_WAIT);
}

TEST(flags_without_effect_are_collected_once)
{
    const struct options *o = &RUN("--app-id=a", "--profile-port=1", "--profile-port=2",
                                   "--enable-profiling", "--enable-mtls=false",
                                   "--reminders-service=x:1")
                                   ->options;
    REQUIRE(o->ignored.count == 3);
    CHECK_EQ_STR(o->ignored.items[0].data, "--profile-port");
    CHECK_EQ_STR(o->ignored.items[1].data, "--enable-profiling");
    CHECK_EQ_STR(o->ignored.items[2].data, "--reminders-service");
}

TEST(old_names_still_work_and_say_what_replaces_them)
{
    const struct run *r = RUN("--app-id=a", "--components-path=/c",
                              "--dapr-http-max-request-size=8", "--dapr-http-read-buffer-size",
                              "16");
    CHECK_EQ_INT(r->verdict, CLI_RUN);
    REQUIRE(r->options.resources.count == 1);
    CHECK_EQ_STR(r->options.resources.items[0].data, "/c");
    CHECK_EQ_INT(r->options.max_body_bytes, 8 * 1024 * 1024);
    CHECK_EQ_INT(r->options.read_buffer_bytes, 16 * 1024);
    REQUIRE(r->options.deprecated.count == 3);
    CHECK_EQ_STR(r->options.deprecated.items[0].data,
                 "Flag --components-path has been deprecated, use --resources-path");
}

TEST(help_lists_every_flag_with_its_type_and_default)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    cli_help(&out, "/opt/bin/remorad");
    struct slice text = buf_slice(&out);
    CHECK(slice_has_prefix(text, SLICE("Usage of remorad:\n      --actors-disseminate-timeout "
                                       "duration  ")));
    CHECK(slice_find(text, SLICE("      --app-channel-address string  ")) > 0);
    CHECK(slice_find(text, SLICE("(default \"127.0.0.1\")\n")) > 0);
    CHECK(slice_find(text, SLICE("(default 30s)\n")) > 0);
    CHECK(slice_find(text, SLICE("(default -1)\n")) > 0);
    CHECK(slice_find(text, SLICE("(default true)\n")) > 0);
    CHECK(slice_find(text, SLICE("--resources-path strings ")) > 0);
    CHECK(slice_find(text, SLICE("--sandbox string ")) > 0);
    CHECK(slice_find(text, SLICE("(default false)")) < 0);
    CHECK(slice_find(text, SLICE("components-path")) < 0);
    buf_fini(&out);
}

TEST(a_short_help_buffer_is_no_accident)
{
    struct buf out;
    buf_init(&out, 100);
    cli_help(&out, "remorad");
    CHECK(out.len <= 100);
    buf_fini(&out);
}
