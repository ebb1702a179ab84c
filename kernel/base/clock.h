/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time, from one place so that tests can move it. Monotonic time is for deadlines and durations,
 * wall time for what people and stores see. Any thread; a test that moves the clock does so alone.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/slice.h"

enum { CLOCK_RFC3339_BYTES = 36 };

/* Nanoseconds since some fixed point; never goes back. */
uint64_t clock_now_ns(void);
/* Milliseconds of the same clock. */
uint64_t clock_now_ms(void);
/* The same, but behind by up to a tick of the system (10 ms at most), for a fifth of the price. */
uint64_t clock_coarse_ms(void);
/* Milliseconds since 1970-01-01 UTC, and nanoseconds. */
int64_t clock_unix_ms(void);
int64_t clock_unix_ns(void);

/* "2026-11-25T16:47:09Z", with milliseconds only if they are not zero; in UTC. "" for a year that
 * has no four digits. */
struct slice clock_rfc3339(int64_t unix_ms, char ret_text[CLOCK_RFC3339_BYTES]);

/* Tests only: both clocks stand still at these values until moved or clock_use_real(). */
void clock_fake(uint64_t now_ns, int64_t unix_ms);
void clock_advance_ms(uint64_t ms);
void clock_use_real(void);

#endif
