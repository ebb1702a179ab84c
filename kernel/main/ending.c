/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions of the end; see ending.h. The words are the reference's. */
#include "main/ending.h"

#include <stddef.h>

enum {
    CLOSE_MS_MAX = 2000,
    CLOSE_FATAL_MS_MAX = 500, /* nothing was acknowledged that could be lost */
    KILL_MARGIN_MS = 200,     /* from SIGKILL to the exit of the process */
};

void
ending_init(struct ending *ending, uint64_t grace_ms, uint64_t block_ms)
{
    *ending = (struct ending){ .grace_ms = grace_ms,
                               .block_ms = block_ms,
                               .deadline_ms = UINT64_MAX };
}

static struct ending_step
drain(struct ending *ending, uint64_t now_ms, const char *words)
{
    ending->stage = STAGE_DRAINING;
    ending->deadline_ms = now_ms + ending->grace_ms;
    return (struct ending_step){ ACT_DRAIN, words };
}

/* Asked to end in order; it ends once. */
static struct ending_step
begin(struct ending *ending, uint64_t now_ms)
{
    if (ending->stage != STAGE_WORKING)
        return (struct ending_step){ ACT_NOTHING, NULL };
    if (ending->block_ms == 0)
        return drain(ending, now_ms, NULL);
    ending->stage = STAGE_BLOCKING;
    ending->deadline_ms = now_ms + ending->block_ms;
    return (struct ending_step){ ACT_BLOCK, NULL };
}

/* The grace period of requests goes on for components and plugins. */
static struct ending_step
close_all(struct ending *ending, uint64_t now_ms)
{
    if (ending->stage < STAGE_DRAINING)
        ending->deadline_ms = now_ms + ending->grace_ms;
    ending->stage = STAGE_CLOSING;
    return (struct ending_step){ ACT_CLOSE, NULL };
}

static struct ending_step
cut(struct ending *ending, const char *words)
{
    ending->has_failed = true;
    return (struct ending_step){ ACT_CUT, words };
}

static struct ending_step
on_time(struct ending *ending, uint64_t now_ms)
{
    if (now_ms >= ending->deadline_ms && ending->stage == STAGE_BLOCKING)
        return drain(ending, now_ms, "Block shutdown period expired, entering shutdown...");
    if (now_ms >= ending->deadline_ms)
        return cut(ending, "Graceful shutdown timeout exceeded, forcing shutdown");
    return (struct ending_step){ ACT_NOTHING, NULL };
}

struct ending_step
ending_on(struct ending *ending, enum ending_event event, uint64_t now_ms)
{
    switch (event) {
    case ENDING_SIGNAL: /* who sends a second one does not want to wait */
        return ending->signal_count++ > 0 ? cut(ending, NULL) : begin(ending, now_ms);
    case ENDING_ASKED:
        return begin(ending, now_ms);
    case ENDING_FORCED:
        return cut(ending,
                   "Force shutdown requested, exiting immediately without graceful shutdown");
    case ENDING_FATAL:
        ending->has_failed = true;
        if (ending->stage < STAGE_CLOSING)
            return close_all(ending, now_ms);
        break;
    case ENDING_APP_UNHEALTHY:
        if (ending->stage == STAGE_BLOCKING)
            return drain(ending, now_ms, "App reported unhealthy, entering shutdown...");
        break;
    case ENDING_DRAINED:
        if (ending->stage == STAGE_DRAINING)
            return close_all(ending, now_ms);
        break;
    case ENDING_CLOSED:
        if (ending->stage != STAGE_CLOSING)
            break;
        ending->stage = STAGE_ENDED;
        ending->deadline_ms = UINT64_MAX;
        return (struct ending_step){ ACT_LEAVE, NULL };
    case ENDING_TIME:
        return on_time(ending, now_ms);
    }
    return (struct ending_step){ ACT_NOTHING, NULL };
}

uint32_t
ending_close_ms(const struct ending *ending, uint64_t now_ms)
{
    uint64_t most = ending->has_failed ? CLOSE_FATAL_MS_MAX : CLOSE_MS_MAX;
    uint64_t left = ending->deadline_ms > now_ms ? ending->deadline_ms - now_ms : 0;
    left = left > KILL_MARGIN_MS ? left - KILL_MARGIN_MS : 0;
    return (uint32_t)(left < most ? left : most);
}
