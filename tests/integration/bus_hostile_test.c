/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link against a process that breaks the contract (tests/plugins/hostile): each fault has one
 * outcome, none costs memory, and none harms a call that was answered before.
 */
#include "plugin_process.h"

#ifdef REMORA_SANITIZE /* freed memory is kept back to catch its use */
enum { GROWTH_KIB_MAX = 512 * 1024 };
#else
enum { GROWTH_KIB_MAX = 24 * 1024 };
#endif
enum { DEADLINE_MS = 500 }; /* of calls that are to miss it; all others have time */

static struct arena arena;

/* --- greetings ---------------------------------------------------------------------------------*/

static void
check_greeting(const char *how, const char *reason)
{
    char variable[64];
    snprintf(variable, sizeof variable, "HOSTILE_HELLO=%s", how);
    process_variable = variable;
    process_start(process_path("hostile"));
    process_variable = NULL;
    uint64_t until_ms = clock_now_ms() + PROCESS_WAIT_MS;
    while (process.lost_count == 0 && clock_now_ms() < until_ms)
        process_turn(10);
    CHECK_EQ_STR(process.lost_reason, reason);
    process_stop();
}

TEST(a_process_that_greets_wrongly_is_refused)
{
    check_greeting("wrong-token", "wrong token");
    check_greeting("no-token", "wrong token");
    check_greeting("wrong-version", "protocol version is not 1.x");
    check_greeting("garbage", "bad handshake");
    check_greeting("oversized", "message too large");
    check_greeting("request", "the first frame is no hello");
    check_greeting("twice", "a second hello");
    check_greeting("leave", "the plugin closed the connection");
}

static void
check_timeout(const char *how)
{
    char variable[64];
    snprintf(variable, sizeof variable, "HOSTILE_HELLO=%s", how);
    process_variable = variable;
    process_start(process_path("hostile"));
    process_variable = NULL;
    for (int i = 0; i < 5; i++)
        process_turn(1);
    CHECK_EQ_INT(process.lost_count, 0);
    timer_set(&process.worker.timers, &process.link->handshake_timer, clock_now_ms());
    PROCESS_UNTIL(process.lost_count == 1);
    CHECK_EQ_STR(process.lost_reason, "no handshake in time");
    process_stop();
}

TEST(a_process_that_does_not_finish_its_greeting_is_given_up)
{
    check_timeout("silent");
    check_timeout("greet-only");
    check_timeout("unfinished");
}

/* --- answers -----------------------------------------------------------------------------------*/

static struct process_call
get(const char *key)
{
    Remora__Plugin__V1__StateGet request = REMORA__PLUGIN__V1__STATE_GET__INIT;
    request.key = pb_string(&arena, slice_str(key));
    return (struct process_call){ .args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_STATE_GET,
                                            .component = PROCESS_COMPONENT,
                                            .message = pb_pack(&arena, &request.base) } };
}

static void
open_hostile(void)
{
    arena_init(&arena);
    process_start(process_path("hostile"));
    process_open("state.hostile");
    struct process_call first = get("before");
    process_call_start(&first);
    PROCESS_UNTIL(first.is_done);
    REQUIRE_OK(first.err);
    CHECK_EQ_STR(first.body, "ok");
}

static void
close_hostile(void)
{
    if (process.pid > 0)
        (void)kill(process.pid, SIGKILL); /* some of them ignore everything */
    process_stop();
    arena_fini(&arena);
}

/* The fault costs the plugin its link: the call fails as lost after sending. */
static void
check_ends_link(const char *key, const char *reason)
{
    open_hostile();
    struct process_call call = get(key);
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done && process.lost_count > 0);
    if (!CHECK_EQ_STR(process.lost_reason, reason) || !CHECK_EQ_INT(call.err, ERR_PLUGIN_UNKNOWN))
        fprintf(stderr, "  (the fault was %s)\n", key);
    struct process_call after = get("after");
    process_call_start(&after);
    PROCESS_UNTIL(after.is_done);
    CHECK_EQ_INT(after.err, ERR_PLUGIN_NOT_SENT);
    close_hostile();
}

TEST(a_process_that_breaks_the_contract_loses_its_link)
{
    check_ends_link("oversized", "message too large");
    check_ends_link("endless", "message too large");
    check_ends_link("no-frame", "malformed frame");
    check_ends_link("garbage", "bad message type");
    check_ends_link("unasked", "an answer to a call that was never made");
    check_ends_link("own-number", "an answer to a call that was never made");
    check_ends_link("early-data", "data without a response");
    check_ends_link("overrun", "more payload than announced");
    check_ends_link("impossible", "impossible lengths in a response");
    check_ends_link("second-hello", "a second hello");
    check_ends_link("host-odd", "a plugin's call must have an even number");
}

TEST(a_process_that_dies_loses_its_link)
{
    check_ends_link("exit", "the plugin closed the connection");
    check_ends_link("crash", "the plugin closed the connection");
    check_ends_link("hang-up", "the plugin closed the connection");
}

TEST(an_answer_before_the_exit_is_delivered)
{
    open_hostile();
    struct process_call call = get("answer-and-exit");
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done && process.lost_count > 0);
    CHECK_OK(call.err);
    CHECK_EQ_STR(call.body, "last words");
    close_hostile();
    CHECK(WIFEXITED(process.status) && WEXITSTATUS(process.status) == 3);
}

/* The fault is harmless: the call ends like this, the link goes on. */
static void
check_goes_on(const char *key, err_t err, const char *body)
{
    open_hostile();
    long before = process_kib(0, "VmRSS");
    uint64_t timeout_ms = err == ERR_DEADLINE ? DEADLINE_MS : 0;
    struct process_call call;
    do { /* what comes before the deadline may need more time on a slow machine */
        call = get(key);
        call.timeout_ms = timeout_ms;
        process_call_start(&call);
        PROCESS_UNTIL(call.is_done);
        timeout_ms *= 4;
    } while (call.err == err && strcmp(call.body, body) != 0 && timeout_ms > 0 &&
             timeout_ms < PROCESS_WAIT_MS);
    if (!CHECK_EQ_INT(call.err, err) || !CHECK_EQ_STR(call.body, body))
        fprintf(stderr, "  (the fault was %s)\n", key);
    for (int i = 0; i < 3; i++) {
        struct process_call after = get("after");
        process_call_start(&after);
        PROCESS_UNTIL(after.is_done);
        CHECK_OK(after.err);
        CHECK_EQ_STR(after.body, "ok");
    }
    CHECK_EQ_INT(process.lost_count, 0);
    CHECK(process_kib(0, "VmRSS") - before <= GROWTH_KIB_MAX);
    close_hostile();
}

TEST(faults_that_harm_nobody_are_passed_over)
{
    check_goes_on("twice", OK, "first");
    check_goes_on("late", ERR_DEADLINE, "");
    check_goes_on("silent", ERR_DEADLINE, "");
    check_goes_on("stale-epoch", ERR_DEADLINE, "");
    check_goes_on("half", ERR_DEADLINE, "half");
    check_goes_on("host-deep", OK, "deep");
    check_goes_on("odd-code", OK, "");
    check_goes_on("not-a-value", OK, "");
}

TEST(floods_are_taken_in_bounded_memory)
{
    log_threshold = LOG_FATAL;
    check_goes_on("credit-flood", OK, "flooded");
    check_goes_on("host-flood", OK, "flooded");
    check_goes_on("host-hoard", OK, "hoarded");
}

TEST(a_process_that_ignores_credits_is_stopped_or_kept_up_with)
{
    open_hostile();
    long before = process_kib(0, "VmRSS");
    struct process_call call = get("no-credit");
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done);
    /* Whether it overstepped depends on how quickly it was read; never on the reader's memory. */
    if (call.err != OK) {
        CHECK_EQ_INT(call.err, ERR_PLUGIN_UNKNOWN);
        CHECK_EQ_STR(process.lost_reason, "payload without credit on a call");
    }
    CHECK(process_kib(0, "VmRSS") - before <= GROWTH_KIB_MAX);
    close_hostile();
}

TEST(a_process_that_stops_reading_costs_deadlines_and_bounded_memory)
{
    enum { COUNT = 200 };
    static struct process_call calls[COUNT];
    static const char value[200 * 1024];
    const struct slice part = slice_of(value, sizeof value);
    open_hostile();
    struct process_call deaf = get("deaf");
    deaf.timeout_ms = 50;
    process_call_start(&deaf);
    PROCESS_UNTIL(deaf.is_done);
    CHECK_EQ_INT(deaf.err, ERR_DEADLINE);
    long before = process_kib(0, "VmRSS");
    for (int i = 0; i < COUNT; i++) { /* 40 MB */
        calls[i] = get("more");
        calls[i].args.body_parts = &part;
        calls[i].args.body_part_count = 1;
        calls[i].timeout_ms = 100;
        process_call_start(&calls[i]);
    }
    int late = 0;
    for (int i = 0; i < COUNT; i++) {
        PROCESS_UNTIL(calls[i].is_done);
        late += calls[i].err == ERR_DEADLINE;
    }
    CHECK_EQ_INT(late, COUNT);
    CHECK(process_kib(0, "VmRSS") - before <= GROWTH_KIB_MAX);
    close_hostile();
}
