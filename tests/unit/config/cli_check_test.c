/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line means: sizes, ports, security, and the environment. */
#include "config/cli.h"

#include "base/macros.h"
#include "test.h"

/* "NAME=value" strings up to NULL. */
static const char *
get_from_list(void *arg, const char *name)
{
    const char *const *pairs = arg;
    size_t len = strlen(name);
    for (; *pairs != NULL; pairs++)
        if (strncmp(*pairs, name, len) == 0 && (*pairs)[len] == '=')
            return *pairs + len + 1;
    return NULL;
}

static struct arena arena;
static struct options options;
static struct slice message;

static enum cli_verdict
check(const char **pairs, const char *const *args)
{
    static bool is_used;
    static const char *none[] = { NULL };
    char *argv[32] = { NULL };
    int argc = 0;
    if (is_used)
        arena_fini(&arena);
    is_used = true;
    arena_init(&arena);
    argv[argc++] = arena_str(&arena, SLICE("remorad"));
    for (size_t i = 0; args[i] != NULL; i++)
        argv[argc++] = arena_str(&arena, slice_str(args[i]));
    return cli_parse(&arena, argc, argv,
                     (struct env){ .get = get_from_list, .arg = pairs == NULL ? none : pairs },
                     &options, &message);
}

#define CHECK_ARGS(...) check(NULL, (const char *const[]){ __VA_ARGS__, NULL })

static void
check_fatal(enum cli_verdict verdict, const char *expected)
{
    CHECK_EQ_INT(verdict, CLI_FATAL);
    CHECK_SLICE_IS(message, expected);
}

TEST(sizes_are_quantities)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--max-body-size=1k", "--read-buffer-size=64Ki"),
                 CLI_RUN);
    CHECK_EQ_INT(options.max_body_bytes, 1000);
    CHECK_EQ_INT(options.read_buffer_bytes, 65536);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--max-body-size=-1"), CLI_RUN);
    CHECK_EQ_INT(options.max_body_bytes, 4194304);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--max-body-size=1Gi", "--dapr-http-max-request-size=1"),
                 CLI_RUN);
    CHECK_EQ_INT(options.max_body_bytes, 1073741824);
    check_fatal(CHECK_ARGS("--max-body-size=x"),
                "Failed to parse flags: invalid value for 'max-body-size' option: quantities must "
                "match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    check_fatal(CHECK_ARGS("--app-id=a", "--read-buffer-size=1Gi"),
                "Failed to parse flags: invalid value for 'read-buffer-size' option: more than "
                "1048576 bytes");
}

TEST(ports_are_checked)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--dapr-http-port=0", "--dapr-public-port=3501",
                            "--app-port=5000"),
                 CLI_RUN);
    CHECK_EQ_INT(options.http_port, 0);
    CHECK_EQ_INT(options.public_port, 3501);
    CHECK(options.has_public_port);
    CHECK_EQ_INT(options.app_port, 5000);
    check_fatal(
        CHECK_ARGS("--app-id=a", "--dapr-http-port=x"),
        "Fatal error from runtime: error parsing dapr-http-port flag: strconv.Atoi: parsing "
        "\"x\": invalid syntax");
    check_fatal(CHECK_ARGS("--app-id=a", "--dapr-http-port=70000"),
                "Fatal error from runtime: error parsing dapr-http-port flag: port 70000 is out of "
                "range");
    check_fatal(CHECK_ARGS("--app-id=a", "--dapr-http-port=80", "--app-port=80"),
                "Fatal error from runtime: the 'dapr-http-port' argument value 80 conflicts with "
                "'app-port'");
}

TEST(a_profile_port_of_minus_one_is_none)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--profile-port", "-1", "--app-port", "0"), CLI_RUN);
    CHECK_EQ_INT(options.profile_port, 0);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--profile-port", "-2"), CLI_FATAL);
}

TEST(addresses_are_split_and_lose_their_brackets)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--dapr-listen-addresses=127.0.0.1, [::1]"), CLI_RUN);
    REQUIRE(options.listen_addresses.count == 2);
    CHECK_EQ_STR(options.listen_addresses.items[0].data, "127.0.0.1");
    CHECK_EQ_STR(options.listen_addresses.items[1].data, "::1");
}

TEST(wrong_words_end_the_start)
{
    check_fatal(CHECK_ARGS("--app-id=shop", "--log-level=loud"),
                "invalid value for --log-level: loud");
    CHECK_SLICE_IS(options.app_id, "shop");
    check_fatal(CHECK_ARGS("--log-level=debug"),
                "Fatal error from runtime: parameter app-id cannot be empty");
    check_fatal(CHECK_ARGS("--app-id=a", "--mode=moon"),
                "Fatal error from runtime: invalid value for --mode: moon");
    check_fatal(CHECK_ARGS("--app-id=a", "--app-protocol=gopher"),
                "Fatal error from runtime: invalid value for 'app-protocol': gopher");
    check_fatal(CHECK_ARGS("--app-id=a", "--sandbox=maybe"), "invalid value for --sandbox: maybe");
    check_fatal(CHECK_ARGS("--app-id=a", "--workers=0"),
                "invalid value for --workers: 0, expected 1 to 64");
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--sandbox=require", "--workers=3", "--log-level=WARN"),
                 CLI_RUN);
    CHECK_EQ_INT(options.sandbox, SANDBOX_REQUIRE);
    CHECK_EQ_INT(options.worker_count, 3);
    CHECK_EQ_INT(options.log_level, LOG_WARN);
}

TEST(variables_without_effect_are_named)
{
    static const char *pairs[] = { "DAPR_GRPC_MAX_CONN_IDLE=3m",
                                   "DAPR_SKIP_REMINDER_MIGRATION=", "KUBECONFIG=/k", NULL };
    const char *const args[] = { "--app-id=a", NULL };
    CHECK_EQ_INT(check(pairs, args), CLI_RUN);
    REQUIRE(options.ignored.count == 1);
    CHECK_EQ_STR(options.ignored.items[0].data, "DAPR_GRPC_MAX_CONN_IDLE");
}

TEST(security_that_is_not_there_is_refused_not_ignored)
{
    static const char *anchors[] = { "DAPR_TRUST_ANCHORS=pem", NULL };
    static const char *both[] = { "DAPR_TRUST_ANCHORS=pem", "DAPR_TRUST_ANCHORS_FILE=/x", NULL };
    const char *const args[] = { "--app-id=a", "--enable-mtls", NULL };
    check_fatal(check(NULL, args), "Fatal error from runtime: trust anchors are required");
    CHECK_EQ_INT(check(anchors, args), CLI_RUN);
    CHECK_EQ_SLICE(options.trust_anchors, SLICE("pem"));
    check_fatal(check(both, args), "Fatal error from runtime: trust anchors cannot be specified in "
                                   "both TrustAnchors and TrustAnchorsFile");
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--mode=kubernetes"), CLI_FATAL);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--app-protocol=h2c"), CLI_RUN);
}

TEST(health_of_the_app_has_the_defaults_of_the_reference)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--enable-app-health-check"), CLI_RUN);
    CHECK_EQ_U64(options.app_health_interval_ms, 5000);
    CHECK_EQ_U64(options.app_health_timeout_ms, 500);
    CHECK_EQ_U64(options.app_health_failures, 3);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--app-health-probe-interval=0",
                            "--app-health-probe-timeout=-1", "--app-health-threshold=0"),
                 CLI_RUN);
    CHECK_EQ_U64(options.app_health_interval_ms, 5000);
    CHECK_EQ_U64(options.app_health_timeout_ms, 500);
    CHECK_EQ_U64(options.app_health_failures, 3);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--app-health-probe-interval=1",
                            "--app-health-probe-timeout=900", "--app-health-threshold=7"),
                 CLI_RUN);
    CHECK_EQ_U64(options.app_health_interval_ms, 1000);
    CHECK_EQ_U64(options.app_health_timeout_ms, 900);
    CHECK_EQ_U64(options.app_health_failures, 7);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--app-health-probe-interval=1",
                            "--app-health-probe-timeout=1001"),
                 CLI_RUN); /* they matter with --enable-app-health-check only */
    const char *const args[] = { "--app-id=a", "--enable-app-health-check",
                                 "--app-health-probe-interval=1", "--app-health-probe-timeout=1001",
                                 NULL };
    check_fatal(check(NULL, args), "Fatal error from runtime: value for 'health-probe-timeout' "
                                   "must be smaller than 'health-probe-interval'");
}

TEST(the_app_has_a_time_to_say_whether_it_wants_a_binding)
{
    static const struct {
        const char *given;
        uint64_t ms;
    } times[] = { { "--app-binding-options-timeout=250ms", 250 },
                  { "--app-binding-options-timeout=1m", 60000 },
                  { "--app-binding-options-timeout=0s", 3000 },
                  { "--app-binding-options-timeout=-1s", 3000 },
                  { "--app-port=1", 3000 } };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        CHECK_EQ_INT(CHECK_ARGS("--app-id=a", times[i].given), CLI_RUN);
        CHECK_EQ_U64(options.app_binding_options_ms, times[i].ms);
    }
}

TEST(the_old_flag_for_tls_means_a_protocol)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--app-ssl"), CLI_RUN);
    CHECK_SLICE_IS(options.app_protocol, "https");
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--app-ssl", "--app-protocol=grpc"), CLI_RUN);
    CHECK_SLICE_IS(options.app_protocol, "grpcs");
}

TEST(endpoints_of_the_app_that_are_not_asked)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--disable-init-endpoints=config,subscribe"), CLI_RUN);
    CHECK(options.skips_app_config);
    CHECK(options.skips_app_subscribe);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--disable-init-endpoints=subscribe"), CLI_RUN);
    CHECK(!options.skips_app_config);
}

TEST(times_are_in_milliseconds)
{
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--dapr-graceful-shutdown-seconds=30",
                            "--dapr-block-shutdown-duration=1m30s"),
                 CLI_RUN);
    CHECK_EQ_INT(options.grace_ms, 30000);
    CHECK_EQ_INT(options.block_shutdown_ms, 90000);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--dapr-graceful-shutdown-seconds=-1"), CLI_RUN);
    CHECK_EQ_INT(options.grace_ms, 5000);
    CHECK_EQ_INT(CHECK_ARGS("--app-id=a", "--dapr-graceful-shutdown-seconds=0"), CLI_RUN);
    CHECK_EQ_INT(options.grace_ms, 0);
}

TEST(the_environment_is_read_through_the_function)
{
    static const char *pairs[] = { "NAMESPACE=prod", "DAPR_API_TOKEN=t1", "POD_NAME=p-0",
                                   "DAPR_CONTROLPLANE_NAMESPACE=sys", NULL };
    CHECK_EQ_INT(check(pairs, (const char *const[]){ "--app-id=a", NULL }), CLI_RUN);
    CHECK_SLICE_IS(options.namespace_name, "prod");
    CHECK_SLICE_IS(options.api_token, "t1");
    CHECK_SLICE_IS(options.pod_name, "p-0");
    CHECK_SLICE_IS(options.app_api_token, "");
    CHECK_SLICE_IS(options.control_plane_namespace, "sys");
    CHECK_EQ_INT(
        check(pairs, (const char *const[]){ "--app-id=a", "--control-plane-namespace=x", NULL }),
        CLI_RUN);
    CHECK_SLICE_IS(options.control_plane_namespace, "x");
}
