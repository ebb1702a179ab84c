/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, byte for byte but for the time. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>

#include "base/json.h"
#include "test.h"

static int pipe_fds[2];
static char line[200000];

static void
use(enum log_level level, bool json, const char *app_id)
{
    if (pipe_fds[1] == 0) {
        REQUIRE(pipe2(pipe_fds, O_NONBLOCK) == 0);
        REQUIRE(fcntl(pipe_fds[0], F_SETPIPE_SZ, 1 << 20) > 0);
    }
    log_setup(&(struct log_config){ .level = level,
                                    .json = json,
                                    .app_id = app_id,
                                    .instance = "host-1",
                                    .version = "edge",
                                    .fd = pipe_fds[1] });
}

/* What was written since, its time replaced. */
static const char *
written(void)
{
    ssize_t n = read(pipe_fds[0], line, sizeof line - 1);
    line[n < 0 ? 0 : n] = '\0';
    char *time = strstr(line, line[0] == '{' ? "\"time\":\"" : "time=\"");
    if (time != NULL) {
        time += line[0] == '{' ? 8 : 6;
        char *end = strchr(time, '"');
        REQUIRE(end != NULL && end > time && end[-1] == 'Z');
        memmove(time + 1, end, strlen(end) + 1);
        *time = 'T';
    }
    return line;
}

TEST(lines_go_to_a_file_as_well_and_to_its_successor)
{
    char path[300], moved[310], text[1000];
    const char *names[] = { path, moved };
    const char *marks[] = { "msg=\"second\"", "msg=\"first\"" };
    snprintf(path, sizeof path, "%s/log", test_dir());
    snprintf(moved, sizeof moved, "%s.1", path);
    CHECK(!log_open_file("/nonexistent/log"));
    REQUIRE(log_open_file(path));
    use(LOG_INFO, false, "shop");
    log_info("s", "first");
    REQUIRE(rename(path, moved) == 0 && log_open_file(path));
    CHECK(!log_open_file("/nonexistent/log")); /* goes on with what it has */
    log_info("s", "second");
    (void)written();
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(names[i], "r");
        REQUIRE(file != NULL);
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        (void)fclose(file);
        CHECK(strstr(text, marks[i]) != NULL && strstr(text, marks[1 - i]) == NULL);
    }
}

TEST(a_text_line_has_logrus_form)
{
    use(LOG_INFO, false, "shop");
    log_info("dapr.runtime", "Component loaded: %s", "mem (state.in-memory/v1)");
    CHECK_EQ_STR(written(),
                 "time=\"T\" level=info msg=\"Component loaded: mem (state.in-memory/v1)\" "
                 "app_id=shop instance=host-1 scope=dapr.runtime type=log ver=edge\n");
    log_warn("s", "a \"quoted\" \\ line\nbreak\ttab\x01\x7f \xC3\xA9 \xFF.");
    CHECK_EQ_STR(written(),
                 "time=\"T\" level=warning msg=\"a \\\"quoted\\\" \\\\ line\\nbreak\\ttab"
                 "\\x01\\x7f \xC3\xA9 \\xff.\" app_id=shop instance=host-1 scope=s "
                 "type=log ver=edge\n");
    log_error("s", "%s", "");
    CHECK_EQ_STR(written(), "time=\"T\" level=error msg=\"\" app_id=shop instance=host-1 scope=s "
                            "type=log ver=edge\n");
}

TEST(values_are_quoted_only_where_they_must_be)
{
    use(LOG_INFO, false, "my app");
    log_fatal("a.b-c/d", "x");
    CHECK_EQ_STR(written(), "time=\"T\" level=fatal msg=\"x\" app_id=\"my app\" instance=host-1 "
                            "scope=a.b-c/d type=log ver=edge\n");
    use(LOG_INFO, false, "");
    log_info("s", "x");
    CHECK_EQ_STR(written(),
                 "time=\"T\" level=info msg=\"x\" instance=host-1 scope=s type=log ver=edge\n");
}

TEST(a_json_line_has_sorted_keys_and_is_valid)
{
    use(LOG_INFO, true, "shop");
    log_info("dapr.runtime", "a \"b\"\n\x01\xFF\xC3\xA9");
    CHECK_EQ_STR(written(),
                 "{\"app_id\":\"shop\",\"instance\":\"host-1\",\"level\":\"info\",\"msg\":"
                 "\"a \\\"b\\\"\\n\\u0001\\ufffd\xC3\xA9\",\"scope\":\"dapr.runtime\","
                 "\"time\":\"T\",\"type\":\"log\",\"ver\":\"edge\"}\n");
    CHECK(json_is_valid(slice_str(line)));
    use(LOG_INFO, true, "");
    log_info("s", "x");
    CHECK_EQ_STR(written(),
                 "{\"instance\":\"host-1\",\"level\":\"info\",\"msg\":\"x\",\"scope\":\"s\","
                 "\"time\":\"T\",\"type\":\"log\",\"ver\":\"edge\"}\n");
}

TEST(a_long_message_is_cut_but_the_line_is_whole)
{
    static char text[100000];
    memset(text, 1, sizeof text - 1);
    use(LOG_INFO, true, "shop");
    log_info("s", "%s", text);
    ssize_t n = read(pipe_fds[0], line, sizeof line - 1);
    REQUIRE(n > 90000);
    CHECK(line[n - 1] == '\n');
    CHECK(json_is_valid(slice_of(line, (size_t)n)));
    memset(text, 'a', sizeof text - 1);
    text[16 * 1024 - 2] = '\xC3'; /* the cut goes through a character */
    text[16 * 1024 - 1] = '\xA9';
    log_info("s", "%s", text);
    n = read(pipe_fds[0], line, sizeof line - 1);
    REQUIRE(n > 16000);
    CHECK(slice_is_utf8(slice_of(line, (size_t)n)));
}

TEST(levels_below_the_threshold_cost_nothing)
{
    use(LOG_WARN, false, "shop");
    int evaluated = 0;
    log_debug("s", "%d", ++evaluated);
    log_info("s", "%d", ++evaluated);
    CHECK_EQ_STR(written(), "");
    CHECK_EQ_INT(evaluated, 0);
    log_warn("s", "%d", ++evaluated);
    CHECK(strstr(written(), "msg=\"1\"") != NULL);
}

TEST(level_names_are_known_in_any_case)
{
    enum log_level level = LOG_INFO;
    CHECK(log_level_from_name(SLICE("debug"), &level) && level == LOG_DEBUG);
    CHECK(log_level_from_name(SLICE("WARN"), &level) && level == LOG_WARN);
    CHECK(log_level_from_name(SLICE("warning"), &level) && level == LOG_WARN);
    CHECK(log_level_from_name(SLICE("Fatal"), &level) && level == LOG_FATAL);
    CHECK(!log_level_from_name(SLICE("loud"), &level));
    CHECK(!log_level_from_name(SLICE(""), &level));
}

static void *
log_much(void *arg)
{
    for (int i = 0; i < 500; i++)
        log_info("s", "%s %d", (const char *)arg, i);
    return NULL;
}

TEST(lines_of_several_threads_do_not_mix)
{
    use(LOG_INFO, true, "shop");
    pthread_t threads[4];
    char names[4][8] = { "one", "two", "three", "four" };
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, log_much, names[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    static char all[1 << 20];
    size_t len = 0;
    for (ssize_t n; (n = read(pipe_fds[0], all + len, sizeof all - len)) > 0;)
        len += (size_t)n;
    int lines = 0;
    struct slice rest = slice_of(all, len), one;
    while (slice_split(&rest, '\n', &one))
        lines += one.len > 0 && json_is_valid(one);
    CHECK_EQ_INT(lines, 2000);
}

TEST(fields_stand_among_the_common_ones_by_name)
{
    const struct log_field fields[] = {
        { .name = "method", .text = SLICE("GET /v1.0/state/mem/a") },
        { .name = "code", .text = SLICE("200"), .is_number = true },
        { .name = "useragent", .text = SLICE("curl/8") },
    };
    use(LOG_INFO, false, "shop");
    log_write_fields(LOG_INFO, "s", SLICE("HTTP API Called"), fields, 3);
    CHECK_EQ_STR(written(), "time=\"T\" level=info msg=\"HTTP API Called\" app_id=shop code=200 "
                            "instance=host-1 method=\"GET /v1.0/state/mem/a\" scope=s type=log "
                            "useragent=curl/8 ver=edge\n");
    use(LOG_INFO, true, "shop");
    log_write_fields(LOG_INFO, "s", SLICE("HTTP API Called"), fields, 3);
    CHECK_EQ_STR(written(), "{\"app_id\":\"shop\",\"code\":200,\"instance\":\"host-1\","
                            "\"level\":\"info\",\"method\":\"GET /v1.0/state/mem/a\","
                            "\"msg\":\"HTTP API Called\",\"scope\":\"s\",\"time\":\"T\","
                            "\"type\":\"log\",\"useragent\":\"curl/8\",\"ver\":\"edge\"}\n");
}
