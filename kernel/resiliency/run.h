/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running an operation under the policies of its target: the retries of the user around the circuit
 * breaker around the timeout around the attempt, as the reference runtime nests them. Without
 * retries of the user the built-in ones take place inside of breaker and timeout: what never left
 * the kernel is tried again, and nothing that may have happened is ever repeated unasked.
 *
 *     struct resiliency_target target;
 *     resiliency_for_app(settings_of(t)->resiliency, app_id, &target);
 *     const struct run run = { .target = &target, .built_in = &built_in_invoke,
 *                              .is_replayable = true, .instance = … };
 *     err = resiliency_run(t, &run, attempt, arg);
 *
 * The last attempt's result is the result, so that an answer that counts as a failure (HTTP 500)
 * still reaches whoever asked.
 */
#ifndef RESILIENCY_RUN_H
#define RESILIENCY_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "async/task.h"
#include "resiliency/policy.h"

/* What an answer's code means. */
enum answer_kind { ANSWER_NONE, ANSWER_HTTP, ANSWER_GRPC };

/* One attempt, while it runs. What stands behind `answer` is the attempt's to fill in. */
struct attempt {
    unsigned number; /* from 1 */
    struct run_state *state;
    /* There was an answer: its code decides, if the err_t is OK, whether it was a failure (HTTP
     * other than 1xx to 3xx, gRPC other than 0), and in any case whether `matching` of the policy
     * has it. */
    enum answer_kind answer;
    int code;
    bool is_final; /* must not be repeated, whatever a policy says */
};

/* May run several times, and undoes first what the attempt before has left behind. Suspends. */
typedef err_t attempt_fn(struct task *t, void *arg, struct attempt *attempt);

/* Repetition that nobody asked for. Repeated is what err.def says may be; of a read also once what
 * was lost with its plugin. A policy of the user that has the name is in its place. */
struct built_in {
    struct retry_policy policy; /* without a name it is not logged */
    bool is_read;
};

/* DaprBuiltInServiceRetries: three more, a second apart. */
extern const struct built_in built_in_invoke;
/* Operations of components, at once. */
extern const struct built_in built_in_read, built_in_write;

struct run {
    const struct resiliency_target *target; /* NULL: nothing applies */
    const struct built_in *built_in;        /* NULL: none */
    /* Whose breaker it is: an address, or whatever tells instances of the target apart; empty: the
     * target has one. With `enters_late` it is known only to the attempt, which then calls
     * resiliency_enter() before it does anything that may fail. */
    struct slice instance;
    bool enters_late;
    bool is_replayable;           /* false: a streamed body; never repeated, but counted */
    uint64_t default_ms;          /* of an attempt without a timeout; 0: the task's deadline */
    const atomic_bool *is_ending; /* nothing is repeated any more once it is set; may be NULL */
};

/* Suspends. Beside what the attempt returns: ERR_DEADLINE if its timeout passed, ERR_BREAKER_OPEN
 * without an attempt, with words in the diag. */
err_t
resiliency_run(struct task *t, const struct run *run, attempt_fn *attempt, void *arg) WARN_UNUSED;

/* Within an attempt of a run that enters late; once. ERR_BREAKER_OPEN: return it. */
err_t resiliency_enter(struct task *t, struct attempt *attempt, struct slice instance) WARN_UNUSED;

#endif
