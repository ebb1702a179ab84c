/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of components; see operation.h. */
#include "api/operation.h"

#include "base/limits.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "resiliency/run.h"

struct operation_run {
    struct component *component;
    struct operation operation;
    struct link_args args;
    struct component_call *call;
    bool was_lost;    /* an attempt, with the plugin */
    bool was_partial; /* the attempt before: some items may be tried again */
};

/* What was under way when a plugin ended may be what ended it, and would do so again. One at a time
 * is repeated, so that it takes none of the others with it once more. False: it took too long. */
static bool
enter_alone(struct task *t, struct component *component)
{
    uint64_t outer = task_deadline_push(t, LIMIT_suspect_wait_ms);
    bool is_alone = gate_enter(t, &component->suspects, 1) == OK; /* suspends */
    task_deadline_pop(t, outer);
    return is_alone;
}

/* Who was overtaken by another writer is told so, however often he asks; the store is well. */
static void
tell_answer(struct operation_run *op, struct attempt *outcome)
{
    const struct frame_status *status = &op->call->bus.call.status;
    const struct operation_items *items = op->operation.items;
    if (slice_has_prefix(status->reason, SLICE("ETAG_")))
        return;
    outcome->answer = ANSWER_GRPC;
    outcome->code = (int)status->code;
    if (status->code != GRPC_OK || items == NULL || op->call->bus.call.message.len == 0)
        return;
    outcome->code = (int)items->failed(items->arg, op->call);
    op->was_partial = outcome->code != GRPC_OK;
}

static void
narrow(struct operation_run *op)
{
    const struct operation_items *items = op->operation.items;
    items->narrow(items->arg, op->call, &op->operation);
    op->args.message = op->operation.message;
    op->args.body_parts = op->operation.parts;
    op->args.body_part_count = op->operation.part_count;
    op->was_partial = false;
}

/* A failure that is no decision about the operation may have come after the fact, also where a
 * plugin does not think of saying so. */
static bool
is_unclear(err_t err, const struct frame_status *status)
{
    if (err != OK)
        return err != ERR_PLUGIN_NOT_SENT && err != ERR_PLUGIN_AWAY;
    if (status->effect != REMORA__PLUGIN__V1__EFFECT__EFFECT_FAILED)
        return status->effect == REMORA__PLUGIN__V1__EFFECT__EFFECT_UNKNOWN;
    switch (status->code) {
    case GRPC_UNKNOWN:
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_UNAVAILABLE:
    case GRPC_INTERNAL:
    case GRPC_DATA_LOSS:
        return true;
    default:
        return false; /* success among them */
    }
}

static err_t
attempt(struct task *t, void *arg, struct attempt *outcome)
{
    struct operation_run *op = arg;
    if (op->was_partial)
        narrow(op);
    component_call_finish(t, op->call); /* of the attempt before */
    bool is_alone = op->was_lost && enter_alone(t, op->component);
    err_t err = component_call(t, op->component, &op->args, op->call);
    if (is_alone)
        gate_leave(&op->component->suspects, 1);
    op->was_lost = op->was_lost || err == ERR_PLUGIN_UNKNOWN;
    const struct frame_status *status = &op->call->bus.call.status;
    if (op->operation.ret_is_unclear != NULL && is_unclear(err, status))
        *op->operation.ret_is_unclear = true;
    if (err == OK)
        tell_answer(op, outcome);
    if (err == OK && status->code != GRPC_OK &&
        status->effect == REMORA__PLUGIN__V1__EFFECT__EFFECT_NOT_SENT &&
        status->code == GRPC_UNAVAILABLE)
        return DIAG_FAIL(task_diag(t), ERR_PLUGIN_NOT_SENT, SLICE_FMT, SLICE_ARG(status->message));
    return err;
}

#define CONFIGURATION(name) REMORA__PLUGIN__V1__METHOD__METHOD_CONFIGURATION_##name

/* Under the names the reference runtime counts operations by. */
static const struct counted {
    enum metric_group group;
    const char *name; /* NULL: not counted */
} counted[] = {
    [REMORA__PLUGIN__V1__METHOD__METHOD_STATE_GET] = { METRICS_component_state, "get" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_STATE_SET] = { METRICS_component_state, "set" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_STATE_DELETE] = { METRICS_component_state, "delete" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_STATE_BULK_GET] = { METRICS_component_state, "bulk_get" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_STATE_TRANSACT] = { METRICS_component_state,
                                                            "transaction" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_STATE_QUERY] = { METRICS_component_state, "query" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_GET] = { METRICS_component_secret, "get" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_BULK_GET] = { METRICS_component_secret, "bulk_get" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_GET_KEY] = { METRICS_component_crypto, "crypto_op" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_ENCRYPT] = { METRICS_component_crypto, "crypto_op" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_DECRYPT] = { METRICS_component_crypto, "crypto_op" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_WRAP] = { METRICS_component_crypto, "crypto_op" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_UNWRAP] = { METRICS_component_crypto, "crypto_op" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_SIGN] = { METRICS_component_crypto, "crypto_op" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_CRYPTO_VERIFY] = { METRICS_component_crypto, "crypto_op" },
    [CONFIGURATION(GET)] = { METRICS_component_configuration, "get" },
    [CONFIGURATION(SUBSCRIBE)] = { METRICS_component_configuration, "subscribe" },
    [CONFIGURATION(UNSUBSCRIBE)] = { METRICS_component_configuration, "unsubscribe" },
    [REMORA__PLUGIN__V1__METHOD__METHOD_BINDING_INVOKE] = { METRICS_component_output_binding,
                                                            "invoke" },
};

static void
observe(const struct request *rq, const struct component *component,
        const struct operation *operation, bool has_failed, uint64_t took_ns)
{
    uint32_t method = operation->method;
    if (!metrics_is_on() || method >= ARRAY_LEN(counted) || counted[method].name == NULL)
        return;
    const struct slice labels[] = { component->facts->name, rq->kernel->namespace_,
                                    operation->counted_as.len > 0 ? operation->counted_as
                                                                  : slice_str(counted[method].name),
                                    has_failed ? SLICE("false") : SLICE("true") };
    metrics_record(metrics_series(counted[method].group, labels), took_ns);
}

/* An answer to a set that says anything says which items failed. */
static bool
has_failed(const struct operation *operation, err_t err, const struct component_call *call)
{
    return operation_has_failed(err, call) ||
           (operation->method == REMORA__PLUGIN__V1__METHOD__METHOD_STATE_SET &&
            call->bus.call.message.len > 0);
}

static void
unref_component(void *component)
{
    component_unref(component);
}

Remora__Plugin__V1__Pair **
operation_pack_pairs(struct arena *arena, const struct pair *pairs, size_t count)
{
    if (count == 0)
        return NULL;
    Remora__Plugin__V1__Pair **list = ARENA_ARRAY(arena, Remora__Plugin__V1__Pair *, count);
    Remora__Plugin__V1__Pair *items = ARENA_ARRAY(arena, Remora__Plugin__V1__Pair, count);
    for (size_t i = 0; i < count; i++) {
        list[i] = &items[i];
        remora__plugin__v1__pair__init(&items[i]);
        items[i].name = pb_string(arena, pairs[i].name);
        items[i].value = pb_string(arena, pairs[i].value);
    }
    return list;
}

struct component *
operation_component(struct request *rq, enum component_kind kind, struct slice name)
{
    struct component *component = rq->depth > 0 ? component_find(rq->components, kind, name)
                                                : component_await(rq->task, rq->components, kind,
                                                                  name); /* suspends */
    if (component == NULL)
        return NULL;
    arena_on_dispose(rq->arena, unref_component, component_ref(component));
    return component;
}

/* As default policies call the kind; NULL: it is under none. */
static const char *
sort_of(enum component_kind kind)
{
    static const char *const sorts[COMPONENT_KINDS] = {
        [COMPONENT_STATE] = "Statestore",
        [COMPONENT_SECRETS] = "Secretstore",
        [COMPONENT_PUBSUB] = "Pubsub",
        [COMPONENT_LOCK] = "Lock",
        [COMPONENT_CONFIGURATION] = "Configuration",
        [COMPONENT_CRYPTO] = "Crypto",
        [COMPONENT_BINDING] = "Binding",
        [COMPONENT_CONVERSATION] = "Conversation",
    };
    return sorts[kind];
}

err_t
operation_run(struct request *rq, struct component *component, const struct operation *operation,
              struct component_call *ret_call)
{
    *ret_call = (struct component_call){ 0 };
    struct operation_run op = { .component = component,
                                .operation = *operation,
                                .args = { .method = operation->method,
                                          .is_write = operation->is_write,
                                          .depth = rq->depth,
                                          .message = operation->message,
                                          .body_parts = operation->parts,
                                          .body_part_count = operation->part_count,
                                          .traceparent = rq->traceparent,
                                          .tracestate = rq->tracestate },
                                .call = ret_call };
    struct resiliency_target target = { .name = component->facts->name };
    const char *sort = sort_of(component->facts->kind);
    if (sort != NULL)
        resiliency_for_component(settings_of(rq->task)->resiliency, target.name, sort,
                                 RESILIENCY_OUTBOUND, &target);
    const struct run run = { .target = &target,
                             .built_in = operation->is_write ? &built_in_write : &built_in_read,
                             .is_replayable = true,
                             .default_ms = LIMIT_call_default_ms,
                             .is_ending = &rq->kernel->is_ending };
    uint64_t started_ns = task_worker(rq->task)->now_ns;
    err_t err = resiliency_run(rq->task, &run, attempt, &op); /* suspends */
    observe(rq, component, operation, has_failed(operation, err, ret_call),
            task_worker(rq->task)->now_ns - started_ns);
    return err;
}

/* The words for an operation that ended inside the kernel. */
static struct slice
kernel_reason(struct request *rq, err_t err)
{
    const struct diag *diag = task_diag(rq->task);
    if (diag->err == err && diag->message.len > 0)
        return diag->message;
    switch ((int)err) {
    case ERR_DEADLINE:
        return SLICE("context deadline exceeded");
    case ERR_CANCELLED:
        return SLICE("context canceled");
    case ERR_OVERLOADED:
        return SLICE("too many operations are waiting for the component");
    case ERR_PLUGIN_NOT_SENT:
    case ERR_PLUGIN_AWAY:
        return SLICE("the plugin is not available");
    case ERR_PLUGIN_UNKNOWN:
        return SLICE("the plugin was lost; the operation may or may not have happened");
    case ERR_TOO_LARGE:
        return SLICE("the operation is too large");
    default:
        return slice_str(err_info(err)->code);
    }
}

struct slice
operation_reason(struct request *rq, err_t err, const struct component_call *call)
{
    return err != OK ? kernel_reason(rq, err) : call->bus.call.status.message;
}

const void *
operation_unpack(struct request *rq, const ProtobufCMessageDescriptor *descriptor, size_t items_max,
                 const struct component_call *call)
{
    enum { ITEM_BYTES_MAX = 256 };
    size_t len = call->bus.call.message.len;
    size_t items = len / 2 < items_max ? len / 2 : items_max;
    return pb_unpack(rq->arena, descriptor, call->bus.call.message, LIMIT_frame_depth_max,
                     len * 4 + items * ITEM_BYTES_MAX + 4096);
}
