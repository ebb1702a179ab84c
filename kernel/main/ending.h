/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the end of the process consists of, and when: decisions only, so that every rule of time can
 * be tried with a clock that stands still. shutdown.c tells what has happened and does what comes
 * back; nothing here logs, waits or looks at a clock.
 *
 *     working ──► blocking ──► draining ──► closing ──► ended
 *
 * Blocking (only if asked for) is working on after the signal; draining waits for requests in
 * flight, closing for components and plugins. Both together last at most the grace period, which
 * does not count what was blocked.
 */
#ifndef MAIN_ENDING_H
#define MAIN_ENDING_H

#include <stdbool.h>
#include <stdint.h>

enum stage { STAGE_WORKING, STAGE_BLOCKING, STAGE_DRAINING, STAGE_CLOSING, STAGE_ENDED };

struct ending {
    uint64_t grace_ms;
    uint64_t block_ms; /* 0: the end begins at once */
    enum stage stage;
    uint64_t deadline_ms; /* tell ENDING_TIME then; UINT64_MAX: no need to */
    unsigned signal_count;
    bool has_failed; /* the exit code is 1, however orderly the end */
};

enum ending_event {
    ENDING_SIGNAL,        /* SIGINT or SIGTERM */
    ENDING_ASKED,         /* the API: end in order */
    ENDING_FORCED,        /* the API: end now */
    ENDING_FATAL,         /* there is no going on; requests are not waited for */
    ENDING_APP_UNHEALTHY, /* the application does not want to be waited for */
    ENDING_DRAINED,       /* no request is in flight */
    ENDING_CLOSED,        /* components and plugins are gone */
    ENDING_TIME,          /* the deadline is over, or the timer was early */
};

enum ending_act {
    ACT_NOTHING,
    ACT_BLOCK, /* take nothing in from brokers, go on serving */
    ACT_DRAIN, /* accept no more requests, let those in flight end */
    ACT_CLOSE, /* end components and plugins */
    ACT_LEAVE, /* the loop: the rest is freed and the exit code returned */
    ACT_CUT,   /* exit with code 1 now */
};

struct ending_step {
    enum ending_act act;
    const char *words; /* of the log, a constant; NULL: the caller's, or none */
};

void ending_init(struct ending *ending, uint64_t grace_ms, uint64_t block_ms);
struct ending_step ending_on(struct ending *ending, enum ending_event event, uint64_t now_ms);
/* How long components and plugins have to end by themselves before they are killed: less than what
 * is left of the grace period, so that a plugin that hangs does not spoil the exit code. */
uint32_t ending_close_ms(const struct ending *ending, uint64_t now_ms);

#endif
