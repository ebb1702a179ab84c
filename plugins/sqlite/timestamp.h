/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points in time as the tables hold them: UTC text `YYYY-MM-DD HH:MM:SS`, which sorts by time.
 */
#ifndef SQLITE_PLUGIN_TIMESTAMP_H
#define SQLITE_PLUGIN_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMESTAMP_LEN = 19 };

struct timestamp {
    char text[TIMESTAMP_LEN + 1];
};

/* Seconds a test adds to the clock. Zero in life. */
extern int64_t timestamp_shift_s;

int64_t timestamp_now_unix_s(void);
int64_t timestamp_now_unix_ms(void);

/* False beyond the year 9999, which the text form cannot say. */
bool timestamp_format(int64_t unix_s, struct timestamp *ret);

/* Reads the first 19 characters; a fraction or zone behind them is ignored. */
bool timestamp_parse(const char *text, size_t len, int64_t *ret_unix_s);

#endif
