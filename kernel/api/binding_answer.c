/* SPDX-License-Identifier: Apache-2.0 */
/* State and output bindings for answers to events; see binding_answer.h. */
#include "api/binding_answer.h"

#include "api/binding.h"
#include "api/state.h"
#include "async/group.h"
#include "base/limits.h"
#include "base/log.h"

#define SCOPE "dapr.runtime.processor.binding"

static void
save(struct request *rq, const struct binding_directive *directive)
{
    struct component *store;
    struct state_item *read = NULL;
    const struct state_item *items = directive->states;
    size_t count = directive->state_count;
    err_t err = state_store_find(rq, directive->store, &store); /* suspends */
    if (err == OK && directive->state_json.len > 0) {
        err = rq->kernel->read_state_items(rq, directive->state_json, &read, &count);
        items = read;
    }
    if (err == OK && count > 0)
        err = state_save(rq, store, items, count); /* suspends */
    if (err != OK)
        log_error(SCOPE, "error saving state from app response: " SLICE_FMT,
                  SLICE_ARG(rq->error.message));
}

/* One output binding, which may be called beside others. */
struct errand {
    const struct request *rq; /* of the event */
    struct slice name;
    struct slice data;
};

static err_t
invoke(struct request *rq, const struct errand *errand)
{
    const struct binding_request request = { .name = errand->name,
                                             .operation = SLICE("create"),
                                             .data = errand->data };
    struct binding_response response;
    err_t err = binding_invoke(rq, &request, &response); /* suspends */
    if (err != OK)
        log_error(SCOPE, "error executing app response: " SLICE_FMT, SLICE_ARG(rq->error.message));
    return err;
}

static err_t
invoke_beside(struct task *t, void *arg)
{
    const struct errand *errand = arg;
    struct request rq;
    request_init(&rq, t);
    rq.depth = errand->rq->depth;
    rq.traceparent = errand->rq->traceparent;
    rq.tracestate = errand->rq->tracestate;
    (void)invoke(&rq, errand); /* logged; the others go on */
    return OK;
}

static void
send_beside(struct request *rq, const struct binding_directive *directive)
{
    struct errand *errands = ARENA_ARRAY(rq->arena, struct errand, directive->to_count);
    struct group group;
    group_init(&group, rq->task, LIMIT_binding_targets_parallel);
    for (size_t i = 0; i < directive->to_count; i++) {
        errands[i] = (struct errand){ rq, directive->to[i], directive->data };
        group_go(&group, "binding answer", invoke_beside, &errands[i]); /* suspends */
    }
    (void)group_join(&group); /* suspends; nothing fails */
}

/* Those behind one that fails do not get it. */
static void
send_in_order(struct request *rq, const struct binding_directive *directive)
{
    for (size_t i = 0; i < directive->to_count; i++) {
        const struct errand errand = { rq, directive->to[i], directive->data };
        if (invoke(rq, &errand) != OK) /* suspends */
            break;
    }
}

void
binding_answer_obey(struct request *rq, const struct binding_directive *directive)
{
    if (directive->state_count > 0 || directive->state_json.len > 0)
        save(rq, directive); /* suspends */
    if (directive->is_parallel && directive->to_count > 1)
        send_beside(rq, directive); /* suspends */
    else
        send_in_order(rq, directive); /* suspends */
}
