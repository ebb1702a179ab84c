/* SPDX-License-Identifier: Apache-2.0 */
/* Lines out of bytes, kept and counted. */
#include "supervisor/output.h"

#include "base/clock.h"
#include "test.h"

static char seen[4096];
static unsigned lines, logged;

static bool
on_line(void *arg, struct slice line, bool is_logged)
{
    (void)arg;
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof seen - used, "%.*s|", SLICE_ARG(line));
    lines++;
    logged += is_logged;
    return strncmp(line.data, "drop", 4) != 0;
}

static void
feed(struct output *output, const char *text)
{
    output_feed(output, slice_str(text), on_line, NULL);
}

static void
begin(struct output *output)
{
    seen[0] = '\0';
    lines = logged = 0;
    clock_fake(1000000000, 0);
    output_init(output);
}

TEST(lines_come_whole_however_they_are_read)
{
    struct output o;
    begin(&o);
    feed(&o, "on");
    feed(&o, "e\ntwo\r\n\n  \nthr");
    CHECK_EQ_STR(seen, "one|two|");
    feed(&o, "ee");
    output_flush(&o, on_line, NULL);
    output_flush(&o, on_line, NULL);
    CHECK_EQ_STR(seen, "one|two|three|");
    CHECK_EQ_STR(output_line(&o, 0), "one");
    CHECK_EQ_STR(output_last(&o), "three");
    CHECK(output_line(&o, 3) == NULL);
    output_fini(&o);
}

TEST(only_the_last_lines_are_kept)
{
    struct output o;
    char text[32];
    begin(&o);
    CHECK_EQ_STR(output_last(&o), "");
    for (int i = 0; i < LIMIT_stderr_lines_kept + 5; i++) {
        snprintf(text, sizeof text, "line %d\n", i);
        feed(&o, text);
    }
    CHECK_EQ_STR(output_line(&o, 0), "line 5");
    CHECK_EQ_STR(output_line(&o, LIMIT_stderr_lines_kept - 1), output_last(&o));
    CHECK(output_line(&o, LIMIT_stderr_lines_kept) == NULL);
    CHECK_EQ_U64(o.lines_total, LIMIT_stderr_lines_kept + 5);
    output_fini(&o);
}

TEST(a_line_may_be_refused)
{
    struct output o;
    begin(&o);
    feed(&o, "one\ndrop this\n");
    CHECK_EQ_STR(seen, "one|drop this|");
    CHECK_EQ_STR(output_last(&o), "one");
    output_fini(&o);
}

TEST(a_line_without_end_is_cut)
{
    struct output o;
    char text[1000];
    begin(&o);
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 10; i++)
        output_feed(&o, slice_of(text, sizeof text), on_line, NULL);
    CHECK_EQ_INT(lines, 0);
    feed(&o, "\nnext\n");
    CHECK_EQ_INT(strlen(output_line(&o, 0)), LIMIT_stderr_line_bytes);
    CHECK_EQ_STR(output_last(&o), "next");
    output_fini(&o);
}

TEST(control_characters_do_not_reach_a_terminal)
{
    struct output o;
    begin(&o);
    output_feed(&o, SLICE("a\x1b[31m\0b\tc\n"), on_line, NULL);
    CHECK_EQ_STR(output_last(&o), "a?[31m?b c");
    feed(&o, "\xc3\xa4\n");
    CHECK_EQ_STR(output_last(&o), "\xc3\xa4");
    feed(&o, "\xc3\n");
    CHECK_EQ_STR(output_last(&o), "?");
    output_fini(&o);
}

TEST(a_flood_is_kept_from_the_log)
{
    struct output o;
    begin(&o);
    for (int i = 0; i < 1000; i++)
        feed(&o, "x\n");
    CHECK_EQ_INT(lines, 1000);
    CHECK_EQ_INT(logged, LIMIT_plugin_output_lines_per_s);
    CHECK_EQ_U64(o.suppressed, 1000 - LIMIT_plugin_output_lines_per_s);
    clock_advance_ms(1000);
    feed(&o, "x\n");
    CHECK_EQ_INT(logged, LIMIT_plugin_output_lines_per_s + 1);
    output_fini(&o);
    clock_use_real();
}
