/* SPDX-License-Identifier: Apache-2.0 */
/* The loops around attempts; see run.h. */
#include "resiliency/run.h"

#include <assert.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "config/duration.h"
#include "resiliency/backoff.h"
#include "telemetry/metrics.h"

#define SCOPE "dapr.runtime"

const struct built_in built_in_invoke = {
    .policy = { .name = { "DaprBuiltInServiceRetries", sizeof "DaprBuiltInServiceRetries" - 1 },
                .delay_ms = 1000,
                .retries_max = 3 }
};
const struct built_in built_in_read = { .policy = { .retries_max = LIMIT_call_attempts_max - 1 },
                                        .is_read = true };
const struct built_in built_in_write = { .policy = { .retries_max = LIMIT_call_attempts_max - 1 } };

struct run_state {
    const struct run *run;
    struct resiliency_target target; /* a copy: the caller's texts may go while we wait */
    attempt_fn *fn;
    void *arg;
    struct attempt attempt;
    struct breaker *breaker; /* counted; that has been entered; NULL: none */
    uint64_t generation;     /* of its counts */
    bool has_timed_out;      /* some attempt */
    bool has_counted;        /* that there is a breaker */
};

/* --- metrics -----------------------------------------------------------------------------------*/

static void
count(const struct run_state *state, enum metric_group group, const char *policy,
      const char *status)
{
    char label[RESILIENCY_LABEL_BYTES];
    if (!metrics_is_on())
        return;
    const struct resiliency_target *target = &state->target;
    const struct slice labels[] = {
        target->direction == RESILIENCY_INBOUND ? SLICE("inbound") : SLICE("outbound"),
        target->document,
        target->namespace_,
        slice_str(policy),
        slice_str(status),
        resiliency_target_label(target, label),
    };
    metrics_record(metrics_series(group, labels), 0);
}

static void
count_run(const struct run_state *state)
{
    if (state->target.timeout != NULL)
        count(state, METRICS_resiliency, "timeout", "");
    if (state->target.retry != NULL)
        count(state, METRICS_resiliency, "retry", "");
}

/* --- words -------------------------------------------------------------------------------------*/

static struct slice
operation_name(struct task *t, const struct run_state *state)
{
    const struct resiliency_target *target = &state->target;
    struct slice instance = state->run->instance.len > 0 ? state->run->instance : target->name;
    switch (target->kind) {
    case TARGET_APP:
        return arena_printf(task_arena(t), "endpoint[" SLICE_FMT ", " SLICE_FMT "]",
                            SLICE_ARG(target->name), SLICE_ARG(instance));
    case TARGET_ACTOR:
        return arena_printf(task_arena(t), "actor[" SLICE_FMT ", " SLICE_FMT "]",
                            SLICE_ARG(target->name), SLICE_ARG(instance));
    case TARGET_COMPONENT:
    case TARGET_KINDS:
        break;
    }
    return arena_printf(task_arena(t), "component[" SLICE_FMT "] %s", SLICE_ARG(target->name),
                        target->direction == RESILIENCY_INBOUND ? "input" : "output");
}

static void
log_retry(struct task *t, struct slice name, uint64_t delay_ms, err_t err)
{
    char text[DURATION_TEXT_BYTES];
    const struct diag *diag = task_diag(t);
    struct slice words = err == OK          ? SLICE("the answer is a failure")
                         : diag->err == err ? diag->message
                                            : slice_str(err_info(err)->code);
    struct slice delay = duration_print((int64_t)delay_ms * DURATION_MS_NS, text);
    log_info(SCOPE, "Error processing operation " SLICE_FMT ". Retrying in " SLICE_FMT "…",
             SLICE_ARG(name), SLICE_ARG(delay));
    log_debug(SCOPE, "Error for operation " SLICE_FMT " was: " SLICE_FMT, SLICE_ARG(name),
              SLICE_ARG(words));
}

static void
log_recovery(struct slice name, unsigned attempts)
{
    log_info(SCOPE, "Recovered processing operation " SLICE_FMT " after %u attempts",
             SLICE_ARG(name), attempts);
}

/* --- breaker -----------------------------------------------------------------------------------*/

static err_t
enter(struct task *t, struct run_state *state, struct slice instance)
{
    struct breaker *breaker = resiliency_breaker_of(&state->target, instance);
    const char *words;
    if (breaker == NULL)
        return OK;
    bool is_let_in = breaker_enter(breaker, &state->generation, &words);
    if (!state->has_counted)
        count(state, METRICS_resiliency, "circuitbreaker",
              breaker_state_name(breaker_state(breaker)));
    state->has_counted = true;
    if (is_let_in) {
        state->breaker = breaker;
        return OK;
    }
    breaker_unref(breaker);
    return DIAG_FAIL(task_diag(t), ERR_BREAKER_OPEN, "%s", words);
}

err_t
resiliency_enter(struct task *t, struct attempt *attempt, struct slice instance)
{
    struct run_state *state = attempt->state;
    assert(state->run->enters_late && state->breaker == NULL);
    return enter(t, state, instance);
}

static bool
has_failed(err_t err, const struct attempt *attempt)
{
    if (err != OK)
        return true;
    if (attempt->answer == ANSWER_HTTP)
        return attempt->code < 100 || attempt->code > 399;
    return attempt->answer == ANSWER_GRPC && attempt->code != GRPC_OK;
}

static void
leave(struct run_state *state, err_t err)
{
    struct breaker *breaker = TAKE(state->breaker);
    if (breaker == NULL)
        return;
    enum breaker_result result = BREAKER_SUCCESS;
    if (err == ERR_CANCELLED || err == ERR_SHUTTING_DOWN)
        result = BREAKER_ABANDONED;
    else if (has_failed(err, &state->attempt))
        result = BREAKER_FAILURE;
    if (breaker_leave(breaker, state->generation, result))
        count(state, METRICS_resiliency_activation, "circuitbreaker",
              breaker_state_name(breaker_state(breaker)));
    breaker_unref(breaker);
}

/* --- attempts ----------------------------------------------------------------------------------*/

static bool
is_ending(const struct run *run)
{
    /* Relaxed: a fact of its own, seen soon enough. */
    return run->is_ending != NULL && atomic_load_explicit(run->is_ending, memory_order_relaxed);
}

/* OK if the next attempt may begin. */
static err_t
pause_between(struct task *t, const struct run *run, uint64_t delay_ms)
{
    uint64_t end_ms = clock_now_ms() + delay_ms, now_ms;
    err_t err = OK;
    while (err == OK && (now_ms = clock_now_ms()) < end_ms) {
        uint64_t left_ms = end_ms - now_ms;
        bool looks = run->is_ending != NULL && left_ms > LIMIT_retry_look_ms;
        err = task_sleep(t, looks ? LIMIT_retry_look_ms : left_ms); /* suspends */
        if (err == OK && is_ending(run))
            err = ERR_SHUTTING_DOWN;
    }
    return err;
}

/* Whether anything but the policy stands against another attempt after so long. */
static bool
may_go_on(struct task *t, const struct run_state *state, uint64_t delay_ms)
{
    return state->run->is_replayable && !state->attempt.is_final && !is_ending(state->run) &&
           !task_is_cancelled(t) && task_time_left_ms(t) > delay_ms;
}

static err_t
try_once(struct task *t, struct run_state *state)
{
    unsigned number = state->attempt.number + 1;
    state->attempt = (struct attempt){ .number = number, .state = state };
    err_t err = state->fn(t, state->arg, &state->attempt); /* suspends */
    if (state->run->enters_late)
        leave(state, err);
    return err;
}

static bool
may_repeat_unasked(const struct built_in *built_in, err_t err, unsigned lost)
{
    /* Once: a request that kills its plugin must not be fed to it again and again. */
    if (err == ERR_PLUGIN_UNKNOWN)
        return built_in->is_read && lost == 1;
    return err_info(err)->retry;
}

/* Those of the user count instead, and an application that is a target has what it says there. */
static bool
has_built_in(const struct run_state *state)
{
    const struct resiliency_target *target = &state->target;
    return state->run->built_in != NULL && target->retry == NULL &&
           !(target->kind == TARGET_APP && target->is_named);
}

static const struct retry_policy *
built_in_policy(const struct run_state *state)
{
    const struct retry_policy *policy = &state->run->built_in->policy;
    const struct resiliency_config *config = resiliency_config(state->target.resiliency);
    const struct retry_policy *own = config == NULL ? NULL : resiliency_retry(config, policy->name);
    return own != NULL ? own : policy;
}

static err_t
repeat_unasked(struct task *t, struct run_state *state)
{
    const struct built_in *built_in = state->run->built_in;
    const struct retry_policy *policy = built_in_policy(state);
    struct backoff backoff;
    unsigned lost = 0;
    backoff_start(&backoff, policy, task_worker(t)->now_ms, task_worker(t)->now_ns);
    for (;;) {
        err_t err = try_once(t, state);
        uint64_t delay_ms;
        lost += err == ERR_PLUGIN_UNKNOWN;
        if (err == OK && backoff.retries > 0 && policy->name.len > 0)
            log_recovery(policy->name, (unsigned)backoff.retries + 1);
        if (err == OK || !may_repeat_unasked(built_in, err, lost) ||
            !backoff_next(&backoff, clock_now_ms(), &delay_ms) || !may_go_on(t, state, delay_ms))
            return err;
        if (backoff.retries == 1 && policy->name.len > 0)
            log_retry(t, policy->name, delay_ms, err);
        if (pause_between(t, state->run, delay_ms) != OK) /* suspends */
            return err;
    }
}

/* One attempt as the user's policies see it. */
static err_t
try_unasked(struct task *t, struct run_state *state)
{
    return has_built_in(state) ? repeat_unasked(t, state) : try_once(t, state);
}

static err_t
try_in_time(struct task *t, struct run_state *state)
{
    const struct timeout_policy *policy = state->target.timeout;
    uint64_t timeout_ms = policy != NULL ? policy->timeout_ms : state->run->default_ms;
    if (timeout_ms == 0)
        return try_unasked(t, state);
    uint64_t before_ms = task_deadline_push(t, timeout_ms);
    err_t err = try_unasked(t, state);
    bool is_late = err == ERR_DEADLINE && task_time_left_ms(t) == 0;
    task_deadline_pop(t, before_ms);
    if (!is_late || policy == NULL || task_time_left_ms(t) == 0)
        return err; /* whoever asked has no more time, or the sidecar has given up */
    if (!state->has_timed_out)
        count(state, METRICS_resiliency_activation, "timeout", "");
    state->has_timed_out = true;
    return DIAG_FAIL(task_diag(t), ERR_DEADLINE, "context deadline exceeded");
}

static err_t
try_guarded(struct task *t, struct run_state *state)
{
    const struct run *run = state->run;
    struct slice instance = run->instance.len > 0 ? run->instance : state->target.name;
    err_t err = run->enters_late ? OK : enter(t, state, instance);
    if (err != OK)
        return err;
    err = try_in_time(t, state);
    leave(state, err);
    return err;
}

/* Whether the policy of the user has this failure. */
static bool
matches(const struct retry_policy *policy, err_t err, const struct attempt *attempt)
{
    if (err == ERR_CANCELLED || err == ERR_BREAKER_OPEN || err == ERR_SHUTTING_DOWN)
        return false;
    if (attempt->answer == ANSWER_HTTP)
        return attempt->code >= 400 && attempt->code <= 599 &&
               code_ranges_match(&policy->http, attempt->code);
    if (attempt->answer == ANSWER_GRPC)
        return attempt->code > GRPC_OK && attempt->code <= GRPC_UNAUTHENTICATED &&
               code_ranges_match(&policy->grpc, attempt->code);
    return true; /* no answer, no code */
}

static err_t
run_retries(struct task *t, struct run_state *state)
{
    const struct retry_policy *policy = state->target.retry;
    struct backoff backoff;
    struct slice name = SLICE_EMPTY; /* made once it is needed */
    backoff_start(&backoff, policy, task_worker(t)->now_ms, task_worker(t)->now_ns);
    for (;;) {
        err_t err = try_guarded(t, state);
        bool failed = has_failed(err, &state->attempt);
        uint64_t delay_ms;
        if (!failed && name.len > 0)
            log_recovery(name, state->attempt.number);
        if (!failed || !matches(policy, err, &state->attempt) ||
            !backoff_next(&backoff, clock_now_ms(), &delay_ms) || !may_go_on(t, state, delay_ms))
            return err;
        if (name.len == 0) {
            name = operation_name(t, state);
            count(state, METRICS_resiliency_activation, "retry", "");
            log_retry(t, name, delay_ms, err);
        }
        if (pause_between(t, state->run, delay_ms) != OK) /* suspends */
            return err;
    }
}

err_t
resiliency_run(struct task *t, const struct run *run, attempt_fn *attempt, void *arg)
{
    struct run_state state = { .run = run, .fn = attempt, .arg = arg };
    if (run->target == NULL || run->target->resiliency == NULL)
        return try_in_time(t, &state);
    state.target = *run->target;
    state.target.name = arena_dup(task_arena(t), state.target.name);
    struct resiliency *held = resiliency_ref(state.target.resiliency);
    count_run(&state);
    err_t err = state.target.retry == NULL ? try_guarded(t, &state) : run_retries(t, &state);
    resiliency_unref(held);
    return err;
}
