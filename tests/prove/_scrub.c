/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrubber alone, for the experiment pii. Without arguments each line of the input is scrubbed
 * by itself and written; with `-t N` the whole input is scrubbed N times, and how long that took at
 * least, in nanoseconds of the processor, is written instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "pii/pii.h"

enum { INPUT_BYTES_MAX = 256 * 1024 * 1024, READ_BYTES = 1024 * 1024 };

static void
scrub_lines(struct slice text)
{
    struct slice line;
    while (slice_split(&text, '\n', &line)) {
        struct arena arena;
        arena_init(&arena);
        struct slice out = pii_scrub(&arena, line);
        (void)fwrite(out.data, 1, out.len, stdout); /* the reader counts the lines */
        (void)putchar('\n');
        arena_fini(&arena);
    }
}

/* The processor's time, so that who else is at work does not count. */
static uint64_t
cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
        abort();
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t
least_ns(struct slice text, uint64_t times)
{
    uint64_t least = UINT64_MAX;
    for (uint64_t i = 0; i < times; i++) {
        struct arena arena;
        arena_init(&arena);
        uint64_t before = cpu_ns();
        (void)pii_scrub(&arena, text); /* only its time is wanted */
        uint64_t took = cpu_ns() - before;
        least = took < least ? took : least;
        arena_fini(&arena);
    }
    return least;
}

int
main(int argc, char **argv)
{
    struct buf input;
    uint64_t times = 0;
    size_t got;
    buf_init(&input, INPUT_BYTES_MAX);
    if (argc == 3 && !slice_to_u64(slice_str(argv[2]), &times))
        return EXIT_FAILURE;
    do {
        char *room = buf_reserve(&input, READ_BYTES);
        if (room == NULL)
            return EXIT_FAILURE;
        got = fread(room, 1, READ_BYTES, stdin);
        buf_commit(&input, got);
    } while (got > 0);
    if (argc == 3)
        printf("%llu\n", (unsigned long long)least_ns(buf_slice(&input), times));
    else
        scrub_lines(buf_slice(&input));
    buf_fini(&input);
    return EXIT_SUCCESS;
}
