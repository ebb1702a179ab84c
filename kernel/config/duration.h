/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations as the reference runtime reads and prints them ("1h2m3.5s"), because they stand in
 * command lines, in resources and in log lines that users compare. Pure functions.
 */
#ifndef CONFIG_DURATION_H
#define CONFIG_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { DURATION_TEXT_BYTES = 32, DURATION_ERROR_BYTES = 160 };

enum {
    DURATION_MS_NS = 1000000,
    DURATION_S_NS = 1000000000,
};

/* A sign, then numbers with a unit each (ns us µs ms s m h); "0" needs none. On failure the error
 * is what Go's time package says. */
bool duration_parse(struct slice text, int64_t *ret_ns,
                    char ret_error[DURATION_ERROR_BYTES]) WARN_UNUSED;

/* "1h0m5s", "2s", "1.5ms", "0s". */
struct slice duration_print(int64_t ns, char ret_text[DURATION_TEXT_BYTES]);

#endif
