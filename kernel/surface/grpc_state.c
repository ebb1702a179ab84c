/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state API over gRPC: one handler a row of methods.def. Values pass through: lengths are known
 * before the first byte of an answer, so messages are written around them in pieces.
 */
#include "api/state.h"
#include "api/state_message.h"
#include "base/clock.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/state.pb-c.h"
#include "surface/grpc_surface.h"

enum { ENTRY_BYTES = 64, TAIL_BYTES = 64 };

/* --- requests ----------------------------------------------------------------------------------*/

static enum state_consistency
consistency_of(int value)
{
    return value == 1   ? CONSISTENCY_EVENTUAL
           : value == 2 ? CONSISTENCY_STRONG
                        : CONSISTENCY_DEFAULT;
}

/* The store of that name; false: the call has been ended. */
static bool
find_store(struct rpc *rpc, const char *name, struct component **ret_store)
{
    if (state_store_find(&rpc->rq, slice_str(name), ret_store) == OK)
        return true;
    rpc_fail(rpc);
    return false;
}

static void
end_write(struct rpc *rpc, err_t err)
{
    if (err == OK)
        rpc_empty(rpc);
    else
        rpc_fail(rpc);
}

/* --- values in answers -------------------------------------------------------------------------*/

/* A map entry with the expiry, in whole seconds as the reference shows it; empty without one. */
static struct slice
expiry_entry(struct arena *arena, int64_t expires_unix_ms)
{
    if (expires_unix_ms == 0)
        return SLICE_EMPTY;
    char text[CLOCK_RFC3339_BYTES];
    struct slice time = clock_rfc3339(expires_unix_ms - expires_unix_ms % 1000, text);
    char *from = arena_alloc(arena, ENTRY_BYTES + time.len), *at = from;
    at = wire_put_bytes(at, 1, SLICE("ttlExpireTime"));
    at = wire_put_bytes(at, 2, time);
    return slice_of(from, (size_t)(at - from));
}

/* One message around a value: what stands before and behind its bytes. */
struct frame_parts {
    struct slice head;
    uint64_t value_bytes;
    struct slice tail;
};

static uint64_t
parts_len(const struct frame_parts *parts)
{
    return parts->head.len + parts->value_bytes + parts->tail.len;
}

/* Next bytes of the body. */
static err_t
next_chunk(struct rpc *rpc, struct state_body *body, struct slice *pending)
{
    err_t err = state_body_read(&rpc->rq, body, pending); /* suspends */
    return err == OK && pending->len == 0 ? ERR_PLUGIN_PROTOCOL : err;
}

static err_t
write_parts(struct rpc *rpc, const struct frame_parts *parts, struct state_body *body,
            struct slice *pending)
{
    uint64_t left = parts->value_bytes;
    err_t err = grpc_message_write(&rpc->call, parts->head);
    while (err == OK && left > 0) {
        if (pending->len == 0)
            err = next_chunk(rpc, body, pending);
        if (err != OK)
            return err;
        struct slice piece = pending->len > left ? slice_first(*pending, (size_t)left) : *pending;
        err = grpc_message_write(&rpc->call, piece);
        *pending = slice_from(*pending, piece.len);
        left -= piece.len;
    }
    return err == OK ? grpc_message_write(&rpc->call, parts->tail) : err;
}

/* --- get ---------------------------------------------------------------------------------------*/

/* GetStateResponse { data = 1, etag = 2, metadata = 3 } */
static struct frame_parts
value_parts(struct arena *arena, const struct state_value *value)
{
    struct slice expiry = expiry_entry(arena, value->expires_unix_ms);
    struct slice etag = value->has_etag ? value->etag : SLICE_EMPTY;
    char *head = arena_alloc(arena, WIRE_HEAD_MAX), *at = head;
    if (value->value_bytes > 0)
        at = wire_put_head(at, 1, (size_t)value->value_bytes);
    char *tail = arena_alloc(arena, etag.len + expiry.len + TAIL_BYTES), *end = tail;
    end = wire_put_bytes(end, 2, etag);
    end = wire_put_bytes(end, 3, expiry);
    return (struct frame_parts){ .head = slice_of(head, (size_t)(at - head)),
                                 .value_bytes = (uint64_t)value->value_bytes,
                                 .tail = slice_of(tail, (size_t)(end - tail)) };
}

static void
answer_value(struct rpc *rpc, const struct state_get *get, const struct component *store,
             const struct state_value *value, struct state_body *body)
{
    struct slice pending = SLICE_EMPTY;
    struct frame_parts parts = value_parts(rpc->rq.arena, value);
    /* The first bytes before the first word of the answer: until then there can be a status. */
    if (parts.value_bytes > 0 && next_chunk(rpc, body, &pending) != OK) {
        (void)fail(&rpc->rq, ERR_STATE_GET,
                   "fail to get " SLICE_FMT " from state store " SLICE_FMT
                   ": the plugin was lost while it answered",
                   SLICE_ARG(get->key), SLICE_ARG(store->facts->name));
        rpc_fail(rpc);
        return;
    }
    if (grpc_message_begin(&rpc->call, parts_len(&parts)) == OK &&
        write_parts(rpc, &parts, body, &pending) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY); /* otherwise the client sees a cut answer */
}

void
grpc_state_get(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__GetStateRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__get_state_request__descriptor);
    struct component *store;
    struct state_value value;
    struct state_body body;
    if (in == NULL || !find_store(rpc, in->store_name, &store) || !rpc_admit(rpc))
        return;
    struct state_get get = { .key = slice_str(in->key),
                             .consistency = consistency_of((int)in->consistency),
                             .metadata_count = in->n_metadata };
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &get.metadata);
    if (state_get(&rpc->rq, store, &get, &value, &body) != OK)
        rpc_fail(rpc);
    else if (!value.found)
        rpc_empty(rpc);
    else
        answer_value(rpc, &get, store, &value, &body);
    state_body_end(&rpc->rq, &body);
}

/* --- save and delete ---------------------------------------------------------------------------*/

/* An item without a key is refused as a whole, as a body without one is over HTTP. */
static bool
have_keys(struct rpc *rpc, const struct state_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].key.len > 0)
            continue;
        (void)fail(&rpc->rq, ERR_STATE_SAVE, "state key cannot be empty");
        rpc->rq.error.grpc = GRPC_INVALID_ARGUMENT;
        rpc_fail(rpc);
        return false;
    }
    return true;
}

void
grpc_state_save(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SaveStateRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__save_state_request__descriptor);
    struct component *store;
    if (in == NULL || !find_store(rpc, in->store_name, &store))
        return;
    struct state_item *items = state_items_of(rpc->rq.arena, in->states, in->n_states);
    if (have_keys(rpc, items, in->n_states))
        end_write(rpc, state_save(&rpc->rq, store, items, in->n_states));
}

void
grpc_state_delete(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__DeleteStateRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__delete_state_request__descriptor);
    struct component *store;
    if (in == NULL || !find_store(rpc, in->store_name, &store))
        return;
    struct state_item item = { .key = slice_str(in->key),
                               .has_etag = in->etag != NULL && in->etag->value[0] != '\0',
                               .etag = in->etag == NULL ? SLICE_EMPTY : slice_str(in->etag->value),
                               .concurrency = state_concurrency_word(in->options),
                               .consistency = state_consistency_word(in->options),
                               .metadata_count = in->n_metadata };
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &item.metadata);
    end_write(rpc, state_delete(&rpc->rq, store, &item));
}

void
grpc_state_bulk_delete(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__DeleteBulkStateRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__delete_bulk_state_request__descriptor);
    struct component *store;
    if (in == NULL || !find_store(rpc, in->store_name, &store))
        return;
    end_write(rpc, state_bulk_delete(&rpc->rq, store,
                                     state_items_of(rpc->rq.arena, in->states, in->n_states),
                                     in->n_states));
}

/* --- bulk get and query ------------------------------------------------------------------------*/

/* BulkStateItem and QueryStateItem { key = 1, data = 2, etag = 3, error = 4, metadata = 5 }, each
 * as field 1 of its answer. */
static struct frame_parts
item_parts(struct arena *arena, const struct state_bulk_item *item)
{
    const struct state_value *value = &item->value;
    struct slice expiry = expiry_entry(arena, value->expires_unix_ms);
    struct slice etag = value->has_etag ? value->etag : SLICE_EMPTY;
    char *tail = arena_alloc(arena, etag.len + item->error.len + expiry.len + TAIL_BYTES);
    char *end = tail;
    end = wire_put_bytes(end, 3, etag);
    end = wire_put_bytes(end, 4, item->error);
    end = wire_put_bytes(end, 5, expiry);
    size_t bytes = (size_t)value->value_bytes, tail_len = (size_t)(end - tail);
    size_t key_len = wire_bytes_len(1, item->key);
    size_t data_head = bytes == 0 ? 0 : 1 + wire_varint_len(bytes);
    char *head = arena_alloc(arena, item->key.len + TAIL_BYTES), *at = head;
    at = wire_put_head(at, 1, key_len + data_head + bytes + tail_len);
    at = wire_put_bytes(at, 1, item->key);
    if (bytes > 0)
        at = wire_put_head(at, 2, bytes);
    return (struct frame_parts){ .head = slice_of(head, (size_t)(at - head)),
                                 .value_bytes = bytes,
                                 .tail = slice_of(tail, tail_len) };
}

/* A message of items with `rest` behind them. */
static void
answer_items(struct rpc *rpc, const struct state_bulk_item *items, size_t count, struct slice rest,
             struct state_body *body)
{
    struct frame_parts *parts = ARENA_ARRAY(rpc->rq.arena, struct frame_parts, count + 1);
    struct slice pending = SLICE_EMPTY;
    uint64_t bytes = rest.len;
    for (size_t i = 0; i < count; i++) {
        parts[i] = item_parts(rpc->rq.arena, &items[i]);
        bytes += parts_len(&parts[i]);
    }
    err_t err = grpc_message_begin(&rpc->call, bytes);
    for (size_t i = 0; i < count && err == OK; i++)
        err = write_parts(rpc, &parts[i], body, &pending);
    if (err == OK)
        err = grpc_message_write(&rpc->call, rest);
    if (err == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY); /* otherwise the client sees a cut answer */
}

void
grpc_state_bulk_get(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__GetBulkStateRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__get_bulk_state_request__descriptor);
    struct component *store;
    struct state_bulk_item *items = NULL;
    struct state_body body;
    const struct pair *metadata;
    if (in == NULL || !find_store(rpc, in->store_name, &store) || !rpc_admit(rpc))
        return;
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &metadata);
    struct state_get *gets = ARENA_ARRAY(rpc->rq.arena, struct state_get, in->n_keys + 1);
    for (size_t i = 0; i < in->n_keys; i++)
        gets[i] = (struct state_get){ .key = slice_str(in->keys[i]),
                                      .metadata = metadata,
                                      .metadata_count = in->n_metadata };
    uint32_t parallelism = in->parallelism > 0 ? (uint32_t)in->parallelism : 0;
    if (state_bulk_get(&rpc->rq, store, gets, in->n_keys, parallelism, &items, &body) != OK)
        rpc_fail(rpc);
    else
        answer_items(rpc, items, in->n_keys, SLICE_EMPTY, &body);
    state_body_end(&rpc->rq, &body);
}

/* QueryStateResponse { token = 2, metadata = 3 } behind its items. */
static struct slice
query_rest(struct arena *arena, const struct state_query_result *result)
{
    size_t bytes = result->token.len + TAIL_BYTES;
    for (size_t i = 0; i < result->metadata_count; i++)
        bytes += result->metadata[i].name.len + result->metadata[i].value.len + ENTRY_BYTES;
    char *from = arena_alloc(arena, bytes), *at = from;
    at = wire_put_bytes(at, 2, result->token);
    for (size_t i = 0; i < result->metadata_count; i++) {
        const struct pair *pair = &result->metadata[i];
        at = wire_put_head(at, 3, wire_bytes_len(1, pair->name) + wire_bytes_len(2, pair->value));
        at = wire_put_bytes(at, 1, pair->name);
        at = wire_put_bytes(at, 2, pair->value);
    }
    return slice_of(from, (size_t)(at - from));
}

void
grpc_state_query(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__QueryStateRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__query_state_request__descriptor);
    struct component *store;
    struct state_query_result result;
    struct state_body body;
    const struct pair *metadata;
    if (in == NULL || !find_store(rpc, in->store_name, &store) || !rpc_admit(rpc))
        return;
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &metadata);
    if (state_query(&rpc->rq, store, slice_str(in->query), metadata, in->n_metadata, &result,
                    &body) != OK)
        rpc_fail(rpc);
    else
        answer_items(rpc, result.items, result.count, query_rest(rpc->rq.arena, &result), &body);
    state_body_end(&rpc->rq, &body);
}

/* --- transaction -------------------------------------------------------------------------------*/

/* False: the call has been ended. */
static bool
operations_of(struct rpc *rpc, const Dapr__Proto__Runtime__V1__ExecuteStateTransactionRequest *in,
              struct state_operation **ret_operations)
{
    struct state_operation *operations = ARENA_ARRAY(rpc->rq.arena, struct state_operation,
                                                     in->n_operations + 1);
    for (size_t i = 0; i < in->n_operations; i++) {
        struct slice type = slice_str(in->operations[i]->operationtype);
        operations[i].is_delete = slice_eq(type, SLICE("delete"));
        if (!operations[i].is_delete && !slice_eq(type, SLICE("upsert"))) {
            (void)fail(&rpc->rq, ERR_STATE_OPERATION, "operation type " SLICE_FMT " not supported",
                       SLICE_ARG(type));
            rpc_fail(rpc);
            return false;
        }
        if (in->operations[i]->request != NULL)
            operations[i].item = state_item_of(rpc->rq.arena, in->operations[i]->request);
        if (!have_keys(rpc, &operations[i].item, 1))
            return false;
    }
    *ret_operations = operations;
    return true;
}

void
grpc_state_transact(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__ExecuteStateTransactionRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__execute_state_transaction_request__descriptor);
    struct component *store;
    struct state_operation *operations;
    const struct pair *metadata;
    if (in == NULL || !find_store(rpc, in->storename, &store) ||
        !operations_of(rpc, in, &operations))
        return;
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &metadata);
    end_write(rpc, state_transact(&rpc->rq, store, operations, in->n_operations, metadata,
                                  in->n_metadata));
}
