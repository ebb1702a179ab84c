/* SPDX-License-Identifier: Apache-2.0 */
/* State operations: each is decoded and handed to the store's function; and the stores' replies. */
#include "sdk.h"

#include <assert.h>

/* --- operations --------------------------------------------------------------------------------*/

static void
refuse_malformed(struct remora_call *call)
{
    call_fail(call, REMORA_INVALID_ARGUMENT, "malformed state operation");
}

static void
refuse_unsupported(struct remora_call *call)
{
    call_fail(call, REMORA_UNIMPLEMENTED, "%s does not support this operation",
              call->component->type->type);
}

static void
run_get(struct remora_call *call, const struct remora_state_ops *ops)
{
    const struct remora_state_get *get;
    if (ops->get == NULL)
        refuse_unsupported(call);
    else if (!state_decode_get(call, &get))
        refuse_malformed(call);
    else
        ops->get(call, call->component->self, get);
}

static void
run_bulk_get(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct remora_state_get *gets;
    size_t count;
    uint32_t parallelism;
    if (ops->get_many == NULL && ops->get == NULL)
        refuse_unsupported(call);
    else if (!state_decode_gets(call, &gets, &count, &parallelism))
        refuse_malformed(call);
    else if (count == 0)
        call_reply_status(call, NULL);
    else if (ops->get_many != NULL)
        ops->get_many(call, call->component->self, gets, count, parallelism);
    else
        many_get(call, gets, count, parallelism);
}

/* One item goes to the function for one, if there is one, and many to the other. */
static void
run_set(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct remora_state_set *sets;
    size_t count;
    if (ops->set == NULL && ops->set_many == NULL)
        refuse_unsupported(call);
    else if (!state_decode_sets(call, &sets, &count))
        refuse_malformed(call);
    else if (count == 0)
        call_reply_status(call, NULL);
    else if (ops->set_many == NULL && count > 1)
        many_set(call, sets, count);
    else if (ops->set == NULL || count > 1)
        ops->set_many(call, call->component->self, sets, count);
    else
        ops->set(call, call->component->self, sets);
}

static void
run_delete(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct remora_state_delete *deletes;
    size_t count;
    if (ops->del == NULL && ops->delete_many == NULL)
        refuse_unsupported(call);
    else if (!state_decode_deletes(call, &deletes, &count))
        refuse_malformed(call);
    else if (count == 0)
        call_reply_status(call, NULL);
    else if (ops->delete_many == NULL && count > 1)
        many_delete(call, deletes, count);
    else if (ops->del == NULL || count > 1)
        ops->delete_many(call, call->component->self, deletes, count);
    else
        ops->del(call, call->component->self, deletes);
}

static void
run_transact(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct state_transact t;
    if (ops->transact == NULL)
        refuse_unsupported(call);
    else if (!state_decode_transact(call, &t))
        refuse_malformed(call);
    else if (t.count == 0)
        call_reply_status(call, NULL);
    else
        ops->transact(call, call->component->self, t.operations, t.count, t.metadata,
                      t.metadata_count);
}

static void
run_query(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct state_query q;
    if (ops->query == NULL)
        refuse_unsupported(call);
    else if (!state_decode_query(call, &q))
        refuse_malformed(call);
    else
        ops->query(call, call->component->self, q.query, q.key_prefix, q.metadata,
                   q.metadata_count);
}

static void
run_delete_prefix(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct remora_slice prefix;
    if (ops->delete_prefix == NULL)
        refuse_unsupported(call);
    else if (!state_decode_prefix(call, &prefix))
        refuse_malformed(call);
    else
        ops->delete_prefix(call, call->component->self, prefix);
}

static void
run_keys_like(struct remora_call *call, const struct remora_state_ops *ops)
{
    struct state_like like;
    if (ops->keys_like == NULL)
        refuse_unsupported(call);
    else if (!state_decode_like(call, &like))
        refuse_malformed(call);
    else
        ops->keys_like(call, call->component->self, like.pattern, like.page_size, like.token);
}

void
state_run(struct remora_call *call)
{
    const struct remora_state_ops *ops = call->component->type->state;
    if (ops == NULL) {
        refuse_unsupported(call);
        return;
    }
    switch (call->method) {
    case METHOD(STATE_GET):
        run_get(call, ops);
        break;
    case METHOD(STATE_BULK_GET):
        run_bulk_get(call, ops);
        break;
    case METHOD(STATE_SET):
        run_set(call, ops);
        break;
    case METHOD(STATE_DELETE):
        run_delete(call, ops);
        break;
    case METHOD(STATE_TRANSACT):
        run_transact(call, ops);
        break;
    case METHOD(STATE_QUERY):
        run_query(call, ops);
        break;
    case METHOD(STATE_DELETE_PREFIX):
        run_delete_prefix(call, ops);
        break;
    case METHOD(STATE_KEYS_LIKE):
        run_keys_like(call, ops);
        break;
    default:
        assert(!"dispatch.c sends state methods only");
        break;
    }
}

/* --- replies -----------------------------------------------------------------------------------*/

void
remora_state_reply_value(remora_call *call, const struct remora_state_value *value)
{
    if (call->many != NULL)
        many_on_value(call, value);
    else if (value->failure != NULL)
        remora_reply_failure(call, value->failure);
    else
        call_reply(call, state_encode_value(call, value), &value->value, 1);
}

static void
reply_with_values(struct remora_call *call, struct slice message,
                  const struct remora_state_value *values, size_t count)
{
    struct remora_bytes *bodies = arena_alloc(&call->arena, count * sizeof *bodies);
    for (size_t i = 0; i < count; i++)
        bodies[i] = values[i].value;
    call_reply(call, message, bodies, count);
}

void
remora_state_reply_values(remora_call *call, const struct remora_state_value *values, size_t count)
{
    reply_with_values(call, state_encode_values(call, values, count), values, count);
}

void
remora_state_reply_query(remora_call *call, const struct remora_state_value *values, size_t count,
                         struct remora_slice token)
{
    reply_with_values(call, state_encode_query(call, values, count, token), values, count);
}

void
remora_state_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                            size_t count)
{
    if (count == 1 && failures[0] != NULL)
        remora_reply_failure(call, failures[0]);
    else
        call_reply(call, state_encode_failures(call, failures, count), NULL, 0);
}

void
remora_state_reply_count(remora_call *call, uint64_t count)
{
    call_reply(call, state_encode_count(call, count), NULL, 0);
}

void
remora_state_reply_keys(remora_call *call, const struct remora_slice *keys, size_t count,
                        struct remora_slice token)
{
    call_reply(call, state_encode_keys(call, keys, count, token), NULL, 0);
}
