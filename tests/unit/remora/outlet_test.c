/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of several programs on one standard output: marks, long lines, readers that stop. */
#include "tools/remora/outlet.h"

#include <fcntl.h>
#include <signal.h>

#include "test.h"
#include "tools/remora/outlet.c"
#include "tools/remora/say.c"

/* Standard output becomes a pipe; the test reads what comes. */
struct bed {
    int saved, end;
    struct outlet outlet;
    struct stream stream;
    unsigned full, free_, gone;
};

static void
on_event(void *arg, enum outlet_event event)
{
    struct bed *bed = arg;
    bed->full += event == OUTLET_FULL;
    bed->free_ += event == OUTLET_FREE;
    bed->gone += event == OUTLET_GONE;
}

static void
bed_init(struct bed *bed)
{
    int ends[2];
    *bed = (struct bed){ .saved = dup(STDOUT_FILENO) };
    REQUIRE(fflush(stdout) == 0 && bed->saved >= 0 && pipe(ends) == 0);
    REQUIRE(dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO && close(ends[1]) == 0);
    (void)signal(SIGPIPE, SIG_IGN);
    bed->end = ends[0];
    outlet_init(&bed->outlet, ev_default_loop(0), on_event, bed);
    stream_init(&bed->stream, &bed->outlet, "== X ==", 34);
}

/* The harness needs its standard output back before it says anything. */
static void
bed_fini(struct bed *bed)
{
    stream_fini(&bed->stream);
    outlet_fini(&bed->outlet);
    REQUIRE(dup2(bed->saved, STDOUT_FILENO) == STDOUT_FILENO && close(bed->saved) == 0);
    if (bed->end >= 0)
        (void)close(bed->end); /* a pipe */
}

static void
turn(struct bed *bed)
{
    (void)ev_run(bed->outlet.loop, EVRUN_NOWAIT); /* whether watchers are left does not matter */
}

/* Everything there is, as text. */
static size_t
drain(struct bed *bed, char *text, size_t bytes)
{
    size_t len = 0;
    while (!outlet_is_empty(&bed->outlet)) {
        turn(bed);
        ssize_t got = read(bed->end, text + len, bytes - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    text[len] = '\0';
    return len;
}

TEST(lines_are_marked_and_come_whole)
{
    struct bed bed;
    char text[512];
    bed_init(&bed);
    stream_feed(&bed.stream, SLICE("one\n\ntw"));
    stream_feed(&bed.stream, SLICE("o\nthree"));
    outlet_say(&bed.outlet, "said %d", 7);
    stream_flush(&bed.stream);
    stream_flush(&bed.stream);
    (void)drain(&bed, text, sizeof text);
    bed_fini(&bed);
    CHECK_EQ_STR(text, "== X == one\n== X == \n== X == two\nsaid 7\n== X == three\n");
}

TEST(a_long_line_is_divided_and_nothing_of_it_lost)
{
    static char input[LINE_BYTES_MAX * 2 + 10], text[LINE_BYTES_MAX * 3];
    struct bed bed;
    bed_init(&bed);
    memset(input, 'a', sizeof input);
    input[sizeof input - 1] = '\n';
    stream_feed(&bed.stream, slice_of(input, 7));
    stream_feed(&bed.stream, slice_of(input + 7, sizeof input - 7));
    size_t len = drain(&bed, text, sizeof text), count = 0, lines = 0;
    bed_fini(&bed);
    for (size_t i = 0; i < len; i++) {
        count += text[i] == 'a';
        lines += text[i] == '\n';
    }
    CHECK_EQ_INT(count, sizeof input - 1);
    CHECK_EQ_INT(lines, 3);
}

TEST(who_does_not_read_fills_the_queue_and_is_told_once)
{
    static char text[1024 * 1024];
    struct bed bed;
    bed_init(&bed);
    for (int i = 0; i < 10000; i++)
        stream_feed(&bed.stream, SLICE("thirty-two bytes of a line, all.\n"));
    turn(&bed);
    unsigned full = bed.full, early = bed.free_;
    size_t len = drain(&bed, text, sizeof text);
    unsigned freed = bed.free_;
    bed_fini(&bed);
    CHECK_EQ_INT(full, 1);
    CHECK_EQ_INT(early, 0);
    CHECK_EQ_INT(freed, 1);
    CHECK_EQ_INT(len, 10000 * (8 + 33));
}

TEST(when_the_reader_is_gone_what_comes_is_dropped)
{
    struct bed bed;
    bed_init(&bed);
    (void)close(bed.end); /* the read end of a pipe */
    bed.end = -1;
    stream_feed(&bed.stream, SLICE("one\n"));
    turn(&bed);
    stream_feed(&bed.stream, SLICE("two\n"));
    bool is_empty = outlet_is_empty(&bed.outlet);
    unsigned gone = bed.gone;
    bed_fini(&bed);
    CHECK(is_empty);
    CHECK_EQ_INT(gone, 1);
}
