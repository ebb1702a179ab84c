/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expression that opens a circuit breaker, such as `consecutiveFailures >= 5 || totalFailures *
 * 2 > requests`: the arithmetic part of CEL, which is what the reference runtime takes. Numbers are
 * integers or doubles, and one of each gives a double; integers divide without a rest. Operators
 * are ! - * / % + - < <= > >= == != && || and ?:, with parentheses, int(…) and double(…). It is
 * checked as a whole when it is read, so that only a division by zero or an overflow is left to
 * happen later: then it is false, as in the reference. Pure functions.
 */
#ifndef CONFIG_TRIP_H
#define CONFIG_TRIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

/* What an expression may speak of. */
struct trip_counts {
    int64_t requests;
    int64_t total_successes;
    int64_t total_failures;
    int64_t consecutive_successes;
    int64_t consecutive_failures;
};

struct trip_op;

/* In reverse Polish order. */
struct trip {
    struct slice text; /* as it was written */
    const struct trip_op *ops;
    size_t op_count; /* 0: there is none; see trip_is_met() */
};

enum { TRIP_ERROR_BYTES = 160 };

/* False with words that name the column, from 1. The result lives in the arena. */
bool trip_parse(struct arena *arena, struct slice text, struct trip *ret_trip,
                char ret_error[TRIP_ERROR_BYTES]) WARN_UNUSED;

/* Everything of it in another arena. */
void trip_copy(struct arena *arena, const struct trip *from, struct trip *ret_trip);

/* Without an expression: more than five failures in a row. */
bool trip_is_met(const struct trip *trip, const struct trip_counts *counts);

#endif
