/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the process against a clock that moves only when told to. */
#include "main/ending.c"

#include "base/macros.h"

#include "test.h"

enum { GRACE_MS = 5000, BLOCK_MS = 3000, START_MS = 1000000 };

static struct ending ending;
static uint64_t now_ms;

static void
begin_test(uint64_t grace_ms, uint64_t block_ms)
{
    now_ms = START_MS;
    ending_init(&ending, grace_ms, block_ms);
}

static enum ending_act
on(enum ending_event event)
{
    return ending_on(&ending, event, now_ms).act;
}

/* What the log says of it. */
static const char *
words_on(enum ending_event event)
{
    const char *words = ending_on(&ending, event, now_ms).words;
    return words == NULL ? "" : words;
}

/* Moves the clock as a timer would, which may be early as well. */
static enum ending_act
after(uint64_t ms)
{
    now_ms += ms;
    return on(ENDING_TIME);
}

TEST(an_orderly_end_drains_closes_and_leaves)
{
    begin_test(GRACE_MS, 0);
    CHECK(ending.deadline_ms == UINT64_MAX);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    CHECK(ending.deadline_ms == START_MS + GRACE_MS);
    CHECK(after(10) == ACT_NOTHING);
    CHECK(on(ENDING_DRAINED) == ACT_CLOSE);
    CHECK(after(10) == ACT_NOTHING);
    CHECK(on(ENDING_CLOSED) == ACT_LEAVE);
    CHECK(ending.stage == STAGE_ENDED && !ending.has_failed);
    CHECK(ending.deadline_ms == UINT64_MAX);
}

TEST(the_api_asks_for_the_same_end)
{
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_ASKED) == ACT_DRAIN);
    CHECK(on(ENDING_ASKED) == ACT_NOTHING);  /* it ends once */
    CHECK(on(ENDING_SIGNAL) == ACT_NOTHING); /* the first signal: it ends already */
    CHECK(on(ENDING_SIGNAL) == ACT_CUT);
}

TEST(requests_have_the_whole_grace_period_and_not_a_millisecond_more)
{
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    CHECK(after(GRACE_MS - 1) == ACT_NOTHING);
    now_ms += 1;
    CHECK_EQ_STR(words_on(ENDING_TIME), "Graceful shutdown timeout exceeded, forcing shutdown");
    CHECK(ending.has_failed);
}

TEST(components_and_plugins_share_the_grace_period_of_requests)
{
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    CHECK(after(4000) == ACT_NOTHING);
    CHECK(on(ENDING_DRAINED) == ACT_CLOSE);
    CHECK(after(999) == ACT_NOTHING);
    CHECK(after(1) == ACT_CUT);
}

TEST(plugins_are_killed_before_the_grace_period_ends)
{
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    CHECK(ending_close_ms(&ending, now_ms) == CLOSE_MS_MAX);
    CHECK(ending_close_ms(&ending, now_ms + 4000) == 1000 - KILL_MARGIN_MS);
    CHECK(ending_close_ms(&ending, now_ms + GRACE_MS - 1) == 0);
    CHECK(ending_close_ms(&ending, now_ms + GRACE_MS + 1) == 0);
}

TEST(without_a_grace_period_what_is_not_done_at_once_is_cut)
{
    begin_test(0, 0);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    CHECK(ending_close_ms(&ending, now_ms) == 0);
    CHECK(on(ENDING_TIME) == ACT_CUT);
}

TEST(the_block_period_comes_before_the_grace_period)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_SIGNAL) == ACT_BLOCK);
    CHECK(ending.stage == STAGE_BLOCKING);
    CHECK(after(BLOCK_MS - 1) == ACT_NOTHING);
    now_ms += 1;
    CHECK_EQ_STR(words_on(ENDING_TIME), "Block shutdown period expired, entering shutdown...");
    CHECK(ending.stage == STAGE_DRAINING);
    CHECK(after(GRACE_MS - 1) == ACT_NOTHING);
    CHECK(after(1) == ACT_CUT);
}

TEST(an_application_that_becomes_unhealthy_ends_the_block_period)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_APP_UNHEALTHY) == ACT_NOTHING); /* nobody waits for it */
    CHECK(on(ENDING_SIGNAL) == ACT_BLOCK);
    now_ms += 100;
    CHECK_EQ_STR(words_on(ENDING_APP_UNHEALTHY), "App reported unhealthy, entering shutdown...");
    CHECK(ending.deadline_ms == now_ms + GRACE_MS);
    CHECK(on(ENDING_APP_UNHEALTHY) == ACT_NOTHING);
}

TEST(a_second_signal_cuts_it_in_every_stage)
{
    static const enum ending_event before[] = { ENDING_DRAINED, ENDING_CLOSED };
    for (unsigned i = 0; i <= 2; i++) {
        begin_test(GRACE_MS, 0);
        CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
        for (unsigned k = 0; k < i; k++)
            (void)on(before[k]);
        CHECK(on(ENDING_SIGNAL) == ACT_CUT);
        CHECK(ending.has_failed);
    }
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_SIGNAL) == ACT_BLOCK);
    CHECK(on(ENDING_SIGNAL) == ACT_CUT);
}

TEST(a_forced_end_is_one_at_any_time)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK_EQ_STR(words_on(ENDING_FORCED),
                 "Force shutdown requested, exiting immediately without graceful shutdown");
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_SIGNAL) == ACT_BLOCK);
    CHECK(on(ENDING_FORCED) == ACT_CUT);
    CHECK(ending.has_failed);
}

TEST(something_fatal_waits_for_no_request_and_fails)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_FATAL) == ACT_CLOSE);
    CHECK(ending_close_ms(&ending, now_ms) == CLOSE_FATAL_MS_MAX);
    CHECK(on(ENDING_FATAL) == ACT_NOTHING); /* of another component */
    CHECK(on(ENDING_DRAINED) == ACT_NOTHING);
    CHECK(on(ENDING_CLOSED) == ACT_LEAVE);
    CHECK(ending.has_failed);
}

TEST(something_fatal_while_draining_keeps_the_deadline)
{
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    now_ms += 1000;
    CHECK(on(ENDING_FATAL) == ACT_CLOSE);
    CHECK(ending.deadline_ms == START_MS + GRACE_MS);
}

TEST(nothing_moves_a_deadline_that_is_set)
{
    static const enum ending_event events[] = { ENDING_ASKED, ENDING_APP_UNHEALTHY, ENDING_CLOSED,
                                                ENDING_TIME };
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_ASKED) == ACT_DRAIN);
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        now_ms += 500;
        CHECK(on(events[i]) == ACT_NOTHING);
        CHECK(ending.deadline_ms == START_MS + GRACE_MS);
    }
}

TEST(while_it_blocks_the_api_can_neither_shorten_nor_prolong_it)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_ASKED) == ACT_BLOCK); /* the API's request blocks as a signal does */
    now_ms += 1000;
    CHECK(on(ENDING_ASKED) == ACT_NOTHING);
    CHECK(on(ENDING_DRAINED) == ACT_NOTHING); /* nothing drains yet */
    CHECK(ending.deadline_ms == START_MS + BLOCK_MS);
    CHECK(on(ENDING_SIGNAL) == ACT_NOTHING); /* the first one */
    CHECK(ending.stage == STAGE_BLOCKING);
    CHECK(after(BLOCK_MS - 1000) == ACT_DRAIN);
    CHECK(ending.deadline_ms == START_MS + BLOCK_MS + GRACE_MS);
}

TEST(something_fatal_ends_the_block_period)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_SIGNAL) == ACT_BLOCK);
    now_ms += 1000;
    CHECK(on(ENDING_FATAL) == ACT_CLOSE);
    CHECK(ending.deadline_ms == now_ms + GRACE_MS);
    CHECK(after(BLOCK_MS) == ACT_NOTHING); /* the block period is over without a word */
    CHECK(on(ENDING_CLOSED) == ACT_LEAVE && ending.has_failed);
}

TEST(a_late_timer_cuts_what_an_early_one_leaves)
{
    begin_test(GRACE_MS, BLOCK_MS);
    CHECK(on(ENDING_SIGNAL) == ACT_BLOCK);
    CHECK(after(BLOCK_MS + GRACE_MS) == ACT_DRAIN); /* the machine slept: requests get theirs yet */
    CHECK(ending.deadline_ms == now_ms + GRACE_MS);
    CHECK(after(GRACE_MS + 1) == ACT_CUT);
}

TEST(what_comes_too_late_or_too_early_changes_nothing)
{
    begin_test(GRACE_MS, 0);
    CHECK(on(ENDING_DRAINED) == ACT_NOTHING);
    CHECK(on(ENDING_CLOSED) == ACT_NOTHING);
    CHECK(on(ENDING_TIME) == ACT_NOTHING);
    CHECK(ending.stage == STAGE_WORKING);
    CHECK(on(ENDING_SIGNAL) == ACT_DRAIN);
    CHECK(on(ENDING_CLOSED) == ACT_NOTHING);
    CHECK(on(ENDING_DRAINED) == ACT_CLOSE);
    CHECK(on(ENDING_DRAINED) == ACT_NOTHING);
    CHECK(on(ENDING_CLOSED) == ACT_LEAVE);
    CHECK(on(ENDING_FATAL) == ACT_NOTHING);
    CHECK(on(ENDING_ASKED) == ACT_NOTHING);
}
