/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin prints: bytes become lines, the last ones are kept, the rate of those that reach
 * the log is bounded. Pure but for the clock; the owner's thread only.
 */
#ifndef SUPERVISOR_OUTPUT_H
#define SUPERVISOR_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"

struct output {
    char *kept[LIMIT_stderr_lines_kept]; /* owned, a ring */
    unsigned next;                       /* where the next one goes */
    char line[LIMIT_stderr_line_bytes];  /* being received */
    size_t len;                          /* of it; the rest of a longer line is dropped */
    uint64_t second;                     /* of the clock, in which … */
    unsigned logged;                     /* … so many lines were given to the log */
    uint64_t suppressed;                 /* and so many were not, since the last that was */
    uint64_t lines_total;
};

/* A line that is complete; valid during the call. `is_logged` is false beyond the rate. Returns
 * whether the line shall be kept. */
typedef bool output_line_fn(void *arg, struct slice line, bool is_logged);

void output_init(struct output *output);
void output_fini(struct output *output);

/* Bytes as they were read. What is not printable becomes '?', so that a plugin cannot write control
 * sequences into somebody's terminal. Empty lines are passed over. */
void output_feed(struct output *output, struct slice bytes, output_line_fn *on_line, void *arg);
/* The last line, if it has no newline; called when the process is gone. */
void output_flush(struct output *output, output_line_fn *on_line, void *arg);

/* Kept line `index`, 0 the oldest; NULL beyond the last. */
const char *output_line(const struct output *output, unsigned index);
/* The newest kept line, or "". */
const char *output_last(const struct output *output);

#endif
