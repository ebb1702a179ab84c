/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State management: requests become messages of the plugin contract, answers and failures become
 * what the API promises. One function an operation, entry points in the order of state.h; packing
 * is in state_pack.c.
 */
#include "api/state.h"

#include "api/operation.h"
#include "api/outbox.h"
#include "api/state_crypt.h"
#include "api/state_pack.h"
#include "base/limits.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define ETAG_MISMATCH SLICE("ETAG_MISMATCH")
#define ETAG_INVALID SLICE("ETAG_INVALID")

/* --- one call ----------------------------------------------------------------------------------*/

static err_t
run(struct request *rq, struct component *store, uint32_t method, struct packed packed,
    bool is_write, struct component_call *ret_call)
{
    const struct operation operation = { .method = method,
                                         .is_write = is_write,
                                         .message = packed.message,
                                         .parts = packed.parts,
                                         .part_count = packed.part_count };
    return operation_run(rq, store, &operation, ret_call); /* suspends */
}

/* HTTP and gRPC status follow the cause where it is the kernel's or a conflict. */
static void
set_statuses(struct request *rq, err_t err, const struct frame_status *status)
{
    if (err != OK) {
        rq->error.http = err_info(err)->http;
        rq->error.grpc = err_info(err)->grpc;
    } else if (slice_eq(status->reason, ETAG_MISMATCH)) {
        rq->error.http = 409;
        rq->error.grpc = GRPC_ABORTED;
    } else if (slice_eq(status->reason, ETAG_INVALID)) {
        rq->error.http = 400;
        rq->error.grpc = GRPC_INVALID_ARGUMENT;
    } else if (status->code == GRPC_RESOURCE_EXHAUSTED || status->code == GRPC_DEADLINE_EXCEEDED) {
        rq->error.http = status->code == GRPC_RESOURCE_EXHAUSTED ? 503 : 504;
        rq->error.grpc = (enum grpc_code)status->code;
    }
}

/* --- stores and keys ---------------------------------------------------------------------------*/

err_t
state_store_find(struct request *rq, struct slice name, struct component **ret_store)
{
    *ret_store = operation_component(rq, COMPONENT_STATE, name); /* suspends */
    if (*ret_store != NULL)
        return OK;
    err_t err = rq->components->kind_count[COMPONENT_STATE] == 0
                    ? fail(rq, ERR_STATE_STORE_NOT_CONFIGURED,
                           "state store " SLICE_FMT " is not configured", SLICE_ARG(name))
                    : fail(rq, ERR_STATE_STORE_NOT_FOUND, "state store " SLICE_FMT " is not found",
                           SLICE_ARG(name));
    error_add_info(rq, "appID", rq->kernel->app_id);
    return err;
}

static err_t
check_key(struct request *rq, const struct component *store, struct slice key)
{
    if (slice_find_byte(key, '\0') >= 0)
        return fail(rq, ERR_MALFORMED_REQUEST, "a key must not hold the NUL character");
    if (slice_find(key, SLICE("||")) < 0 && key.len <= LIMIT_state_key_bytes_max)
        return OK;
    if (key.len > LIMIT_state_key_bytes_max)
        return fail(rq, ERR_MALFORMED_REQUEST, "the key is longer than %d bytes",
                    LIMIT_state_key_bytes_max);
    err_t err = fail(rq, ERR_STATE_ILLEGAL_KEY,
                     "api error: code = InvalidArgument desc = input key/keyPrefix '" SLICE_FMT
                     "' can't contain '||'",
                     SLICE_ARG(key));
    rq->error.has_violation = true;
    rq->error.violation_field = key;
    error_add_resource(rq, "state", store->facts->name);
    return err;
}

static err_t
check_gets(struct request *rq, const struct component *store, const struct state_get *gets,
           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        err_t err = check_key(rq, store, gets[i].key);
        if (err != OK)
            return err;
    }
    return OK;
}

/* --- get ---------------------------------------------------------------------------------------*/

static err_t
fail_get(struct request *rq, const struct component *store, struct slice key, err_t err,
         const struct component_call *call, struct slice reason)
{
    struct slice name = store->facts->name;
    err_t failed = fail(rq, ERR_STATE_GET,
                        "fail to get " SLICE_FMT " from state store " SLICE_FMT ": " SLICE_FMT,
                        SLICE_ARG(key), SLICE_ARG(name), SLICE_ARG(reason));
    set_statuses(rq, err, &call->bus.call.status);
    return failed;
}

/* The whole body, decrypted, in place of the one that is still to be read. */
static err_t
decrypt_value(struct request *rq, const struct component *store, struct slice key,
              struct state_value *value, struct state_body *body)
{
    struct state_stored stored;
    err_t err = state_body_all(rq, body, LIMIT_state_encrypted_bytes_max, &stored.bytes);
    if (err != OK)
        return fail_get(rq, store, key, err, &body->call, operation_reason(rq, err, &body->call));
    state_crypt_open(rq, store, &body->call, &stored, 1);
    if (stored.error.len > 0)
        return fail_get(rq, store, key, OK, &body->call, stored.error);
    body->is_decrypted = true;
    body->decrypted = stored.bytes;
    value->value_bytes = (int64_t)stored.bytes.len;
    return OK;
}

err_t
state_get(struct request *rq, struct component *store, const struct state_get *in,
          struct state_value *ret_value, struct state_body *ret_body)
{
    *ret_body = (struct state_body){ 0 };
    if (slice_find_byte(in->key, '\0') >= 0) { /* cannot have been saved */
        *ret_value = (struct state_value){ 0 };
        return OK;
    }
    err_t err = check_key(rq, store, in->key);
    if (err != OK)
        return err;
    struct component_call *call = &ret_body->call;
    struct packed packed = state_pack_get(rq->arena, store, in);
    err = run(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_STATE_GET, packed, false, call);
    if (operation_has_failed(err, call))
        return fail_get(rq, store, in->key, err, call, operation_reason(rq, err, call));
    const Remora__Plugin__V1__StateValue *value = operation_unpack(
        rq, &remora__plugin__v1__state_value__descriptor, 1, call);
    if (value == NULL || link_call_body_bytes(&call->bus.call) < 0)
        return fail_get(rq, store, in->key, ERR_PLUGIN_PROTOCOL, call,
                        SLICE("the plugin's answer is malformed"));
    *ret_value = (struct state_value){
        .found = value->found,
        .has_etag = value->_etag_case == REMORA__PLUGIN__V1__STATE_VALUE___ETAG_ETAG,
        .expires_unix_ms = value->expires_unix_ms,
        .value_bytes = link_call_body_bytes(&call->bus.call),
    };
    if (ret_value->has_etag)
        ret_value->etag = slice_str(value->etag);
    if (!value->found || call->facts->encryption == NULL || in->is_bare)
        return OK;
    return decrypt_value(rq, store, in->key, ret_value, ret_body);
}

err_t
state_body_read(struct request *rq, struct state_body *body, struct slice *ret_chunk)
{
    if (!body->is_decrypted)
        return bus_call_body(rq->task, &body->call.bus, ret_chunk);
    *ret_chunk = body->decrypted;
    body->decrypted = SLICE_EMPTY;
    return OK;
}

err_t
state_body_all(struct request *rq, struct state_body *body, size_t bytes_max,
               struct slice *ret_bytes)
{
    if (!body->is_decrypted)
        return bus_call_body_all(rq->task, &body->call.bus, bytes_max, ret_bytes);
    *ret_bytes = body->decrypted;
    return body->decrypted.len <= bytes_max ? OK : ERR_TOO_LARGE;
}

void
state_body_end(struct request *rq, struct state_body *body)
{
    component_call_finish(rq->task, &body->call);
}

/* --- save and delete ---------------------------------------------------------------------------*/

static err_t
fail_save(struct request *rq, const struct component *store, err_t err,
          const struct frame_status *status, struct slice reason)
{
    struct slice name = store->facts->name;
    err_t failed = fail(rq, ERR_STATE_SAVE,
                        "failed saving state in state store " SLICE_FMT ": " SLICE_FMT,
                        SLICE_ARG(name), SLICE_ARG(reason));
    set_statuses(rq, err, status);
    return failed;
}

/* Words of the failures of single items as one; the status of the first conflict, if any. */
static struct slice
join_failures(struct request *rq, const Remora__Plugin__V1__StateWriteReply *reply,
              struct frame_status *ret_status)
{
    struct slice text = SLICE_EMPTY;
    for (size_t i = 0; i < reply->n_failures; i++) {
        const Remora__Plugin__V1__Status *status = reply->failures[i]->status;
        if (status == NULL)
            continue;
        struct slice reason = slice_str(status->reason), message = slice_str(status->message);
        if (slice_eq(reason, ETAG_MISMATCH) || slice_eq(reason, ETAG_INVALID)) {
            /* The reference wraps a conflict once more when there are several items. */
            *ret_status = (struct frame_status){ .code = (uint32_t)status->code, .reason = reason };
            const char *again = slice_eq(reason, ETAG_MISMATCH)
                                    ? "possible etag mismatch. error from state store: "
                                    : "invalid etag value: ";
            return arena_printf(rq->arena, "%s" SLICE_FMT, again, SLICE_ARG(message));
        }
        ret_status->code = (uint32_t)status->code;
        text = text.len == 0 ? message
                             : arena_printf(rq->arena, SLICE_FMT "\n" SLICE_FMT, SLICE_ARG(text),
                                            SLICE_ARG(message));
        if (text.len > 4096)
            break; /* enough for a person to act on */
    }
    return text;
}

static err_t
check_save(struct request *rq, const struct component *store, const struct state_item *items,
           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        err_t err = check_key(rq, store, items[i].key);
        if (err != OK)
            return err;
    }
    return OK;
}

/* NULL, or what is wrong with the item's options. */
static const char *
bad_options(struct request *rq, const struct state_item *item)
{
    enum state_concurrency concurrency;
    enum state_consistency consistency;
    if (!state_concurrency_from(item->concurrency, &concurrency))
        return arena_printf(rq->arena, "unrecognized concurrency model '" SLICE_FMT "'",
                            SLICE_ARG(item->concurrency))
            .data;
    if (!state_consistency_from(item->consistency, &consistency))
        return arena_printf(rq->arena, "unrecognized consistency model '" SLICE_FMT "'",
                            SLICE_ARG(item->consistency))
            .data;
    return NULL;
}

typedef Remora__Plugin__V1__StateWriteReply write_reply_t;
typedef Remora__Plugin__V1__StateWriteReply__Failure item_failure_t;

/* A save while it is tried: what is still to be saved, and what will not be for a conflict. */
struct save {
    struct request *rq;
    struct component *store;
    const struct state_item *items;
    size_t count;
    item_failure_t **conflicts;
    size_t conflict_count;
};

/* NULL if the plugin sent nonsense. */
static const write_reply_t *
save_reply(const struct save *save, const struct component_call *call)
{
    return operation_unpack(save->rq, &remora__plugin__v1__state_write_reply__descriptor,
                            save->count, call);
}

static bool
is_conflict(const item_failure_t *failure)
{
    return failure->status != NULL &&
           slice_has_prefix(slice_str(failure->status->reason), SLICE("ETAG_"));
}

static bool
may_repeat(const struct save *save, const item_failure_t *failure)
{
    return failure->status != NULL && failure->index < save->count && !is_conflict(failure);
}

static enum grpc_code
save_failed(void *arg, const struct component_call *call)
{
    const struct save *save = arg;
    const write_reply_t *reply = save_reply(save, call);
    for (size_t i = 0; reply != NULL && i < reply->n_failures; i++) {
        if (!may_repeat(save, reply->failures[i]))
            continue;
        enum grpc_code code = (enum grpc_code)reply->failures[i]->status->code;
        return code == GRPC_OK ? GRPC_UNKNOWN : code;
    }
    return GRPC_OK;
}

static void
save_narrow(void *arg, const struct component_call *call, struct operation *operation)
{
    struct save *save = arg;
    struct arena *arena = save->rq->arena;
    const write_reply_t *reply = save_reply(save, call);
    if (reply == NULL)
        return; /* it was read once, so this does not happen */
    struct state_item *items = ARENA_ARRAY(arena, struct state_item, reply->n_failures);
    size_t count = 0, room = save->conflict_count + reply->n_failures;
    item_failure_t **conflicts = ARENA_ARRAY(arena, item_failure_t *, room);
    if (save->conflict_count > 0)
        memcpy(conflicts, save->conflicts, save->conflict_count * sizeof *conflicts);
    save->conflicts = conflicts;
    for (size_t i = 0; i < reply->n_failures; i++) {
        if (may_repeat(save, reply->failures[i]))
            items[count++] = save->items[reply->failures[i]->index];
        else if (is_conflict(reply->failures[i]))
            conflicts[save->conflict_count++] = reply->failures[i];
    }
    save->items = items;
    save->count = count;
    struct packed packed = state_pack_set(arena, save->store, items, count);
    operation->message = packed.message;
    operation->parts = packed.parts;
    operation->part_count = packed.part_count;
}

static err_t
finish_save(const struct save *save, err_t err, const struct component_call *call)
{
    struct request *rq = save->rq;
    const struct component *store = save->store;
    struct frame_status status = { 0 };
    write_reply_t conflicts = { .failures = save->conflicts, .n_failures = save->conflict_count };
    if (operation_has_failed(err, call))
        return fail_save(rq, store, err, &call->bus.call.status, operation_reason(rq, err, call));
    const write_reply_t *reply = &conflicts;
    if (save->conflict_count == 0 && (save->count > 1 || call->bus.call.message.len > 0))
        reply = save_reply(save, call);
    if (reply == NULL)
        return fail_save(rq, store, ERR_PLUGIN_PROTOCOL, &status,
                         SLICE("the plugin's answer is malformed"));
    if (reply->n_failures == 0)
        return OK;
    struct slice text = join_failures(rq, reply, &status);
    return fail_save(rq, store, OK, &status, text);
}

/* Copies of the items with values as they are stored. */
static bool
seal_items(struct request *rq, const struct component *store, const struct state_item **items,
           size_t count, struct slice *ret_reason)
{
    struct state_item *copies = ARENA_ARRAY(rq->arena, struct state_item, count);
    struct state_item **list = ARENA_ARRAY(rq->arena, struct state_item *, count);
    for (size_t i = 0; i < count; i++) {
        copies[i] = (*items)[i];
        list[i] = &copies[i];
    }
    *items = copies;
    return state_crypt_seal(rq, store, list, count, ret_reason);
}

err_t
state_save(struct request *rq, struct component *store, const struct state_item *items,
           size_t count)
{
    err_t err = check_save(rq, store, items, count);
    if (err != OK || count == 0)
        return err;
    for (size_t i = 0; i < count; i++) {
        const char *wrong = bad_options(rq, &items[i]);
        if (wrong != NULL)
            return fail_save(rq, store, OK, &(struct frame_status){ 0 }, slice_str(wrong));
    }
    if (state_is_encrypted(store)) {
        struct slice reason;
        if (!seal_items(rq, store, &items, count, &reason))
            return fail_save(rq, store, OK, &(struct frame_status){ 0 }, reason);
    }
    struct component_call call;
    struct save save = { .rq = rq, .store = store, .items = items, .count = count };
    const struct operation_items parts = { .failed = save_failed,
                                           .narrow = save_narrow,
                                           .arg = &save };
    struct packed packed = state_pack_set(rq->arena, store, items, count);
    const struct operation operation = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_STATE_SET,
                                         .is_write = true,
                                         .message = packed.message,
                                         .parts = packed.parts,
                                         .part_count = packed.part_count,
                                         .items = &parts };
    err = operation_run(rq, store, &operation, &call); /* suspends */
    err = finish_save(&save, err, &call);
    component_call_finish(rq->task, &call);
    return err;
}

static err_t
fail_delete(struct request *rq, struct slice key, err_t err, const struct frame_status *status,
            struct slice reason)
{
    err_t failed = fail(rq, ERR_STATE_DELETE,
                        "failed deleting state with key " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(key),
                        SLICE_ARG(reason));
    set_statuses(rq, err, status);
    return failed;
}

err_t
state_delete(struct request *rq, struct component *store, const struct state_item *item)
{
    err_t err = check_key(rq, store, item->key);
    if (err != OK)
        return err;
    const char *wrong = bad_options(rq, item);
    if (wrong != NULL)
        return fail_delete(rq, item->key, OK, &(struct frame_status){ 0 }, slice_str(wrong));
    struct component_call call;
    struct packed packed = state_pack_delete(rq->arena, store, item);
    err = run(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_STATE_DELETE, packed, true, &call);
    if (operation_has_failed(err, &call))
        err = fail_delete(rq, item->key, err, &call.bus.call.status,
                          operation_reason(rq, err, &call));
    component_call_finish(rq->task, &call);
    return err;
}

err_t
state_bulk_delete(struct request *rq, struct component *store, const struct state_item *items,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        err_t err = check_key(rq, store, items[i].key);
        if (err != OK)
            return err;
    }
    for (size_t i = 0; i < count; i++) {
        err_t err = state_delete(rq, store, &items[i]);
        if (err != OK)
            return err;
    }
    return OK;
}

/* --- bulk get ----------------------------------------------------------------------------------*/

static err_t
fail_bulk(struct request *rq, err_t err, const struct component_call *call, struct slice reason)
{
    err_t failed = fail(rq, ERR_STATE_BULK_GET, SLICE_FMT, SLICE_ARG(reason));
    set_statuses(rq, err, &call->bus.call.status);
    return failed;
}

/* The lengths of the values must add up to the body. */
static bool
adds_up(const struct state_bulk_item *items, size_t count, const struct component_call *call)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (items[i].value.value_bytes < 0 ||
            __builtin_add_overflow(sum, (uint64_t)items[i].value.value_bytes, &sum))
            return false;
    return (int64_t)sum == link_call_body_bytes(&call->bus.call);
}

static struct slice
item_error(const Remora__Plugin__V1__Status *status)
{
    if (status == NULL || status->code == REMORA__PLUGIN__V1__CODE__CODE_OK)
        return SLICE_EMPTY;
    return status->message[0] == '\0' ? SLICE("the store failed") : slice_str(status->message);
}

static struct state_bulk_item *
read_bulk_items(struct request *rq, const Remora__Plugin__V1__StateValues *values,
                const struct state_get *gets)
{
    struct state_bulk_item *items = ARENA_ARRAY(rq->arena, struct state_bulk_item,
                                                values->n_items + 1);
    for (size_t i = 0; i < values->n_items; i++) {
        const Remora__Plugin__V1__StateValues__Item *from = values->items[i];
        items[i].key = gets[i].key;
        items[i].error = item_error(from->status);
        items[i].value = (struct state_value){
            .found = from->found,
            .has_etag = from->_etag_case == REMORA__PLUGIN__V1__STATE_VALUES__ITEM___ETAG_ETAG,
            .expires_unix_ms = from->expires_unix_ms,
            .value_bytes = (int64_t)from->value_bytes,
        };
        if (items[i].value.has_etag)
            items[i].value.etag = slice_str(from->etag);
    }
    return items;
}

/* The whole body, decrypted item by item; what cannot be read is that item's error alone. */
static err_t
decrypt_items(struct request *rq, const struct component *store, struct state_bulk_item *items,
              size_t count, struct state_body *body)
{
    struct state_stored *stored = ARENA_ARRAY(rq->arena, struct state_stored, count);
    struct slice rest;
    err_t err = state_body_all(rq, body, LIMIT_state_encrypted_bytes_max, &rest);
    if (err != OK)
        return fail_bulk(rq, err, &body->call, operation_reason(rq, err, &body->call));
    for (size_t i = 0; i < count; i++) {
        stored[i].bytes = slice_first(rest, (size_t)items[i].value.value_bytes);
        rest = slice_from(rest, stored[i].bytes.len);
    }
    state_crypt_open(rq, store, &body->call, stored, count);
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += stored[i].bytes.len;
    char *all = arena_alloc(rq->arena, total), *at = all;
    for (size_t i = 0; i < count; i++) {
        if (stored[i].error.len > 0)
            items[i].error = stored[i].error;
        if (stored[i].bytes.len > 0)
            memcpy(at, stored[i].bytes.data, stored[i].bytes.len);
        at += stored[i].bytes.len;
        items[i].value.value_bytes = (int64_t)stored[i].bytes.len;
    }
    body->is_decrypted = true;
    body->decrypted = slice_of(all, total);
    return OK;
}

err_t
state_bulk_get(struct request *rq, struct component *store, const struct state_get *gets,
               size_t count, uint32_t parallelism, struct state_bulk_item **ret_items,
               struct state_body *ret_body)
{
    *ret_body = (struct state_body){ 0 };
    err_t err = check_gets(rq, store, gets, count);
    if (err != OK || count == 0)
        return err;
    struct component_call *call = &ret_body->call;
    struct packed packed = state_pack_bulk_get(rq->arena, store, gets, count, parallelism);
    err = run(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_STATE_BULK_GET, packed, false, call);
    if (operation_has_failed(err, call))
        return fail_bulk(rq, err, call, operation_reason(rq, err, call));
    const Remora__Plugin__V1__StateValues *values = operation_unpack(
        rq, &remora__plugin__v1__state_values__descriptor, count, call);
    if (values == NULL || values->n_items != count)
        return fail_bulk(rq, ERR_PLUGIN_PROTOCOL, call, SLICE("the plugin's answer is malformed"));
    struct state_bulk_item *items = read_bulk_items(rq, values, gets);
    if (!adds_up(items, count, call))
        return fail_bulk(rq, ERR_PLUGIN_PROTOCOL, call, SLICE("the plugin's answer is malformed"));
    *ret_items = items;
    return call->facts->encryption == NULL ? OK : decrypt_items(rq, store, items, count, ret_body);
}

/* --- transaction -------------------------------------------------------------------------------*/

static err_t
check_count(struct request *rq, const struct component *store, size_t count)
{
    uint32_t most = store->facts->operations_max;
    if (most == 0 || count <= most)
        return OK;
    err_t err = fail(rq, ERR_STATE_TOO_MANY_OPERATIONS,
                     "the transaction contains %zu operations, which is more than what the state "
                     "store supports: %u",
                     count, most);
    error_add_resource(rq, "state", store->facts->name);
    error_add_info(rq, "currentOpsTransaction", arena_printf(rq->arena, "%zu", count));
    error_add_info(rq, "maxOpsPerTransaction", arena_printf(rq->arena, "%u", most));
    return err;
}

static err_t
check_transaction(struct request *rq, const struct component *store,
                  const struct state_operation *operations, size_t count)
{
    struct slice name = store->facts->name;
    if ((store->facts->capabilities & CAN_TRANSACT) == 0) {
        err_t err = fail(rq, ERR_STATE_NO_TRANSACTIONS,
                         "state store " SLICE_FMT " doesn't support transactions", SLICE_ARG(name));
        error_add_resource(rq, "state", name);
        rq->error.help_url =
            "https://docs.dapr.io/reference/components-reference/supported-state-stores/";
        rq->error.help_text = "Check the list of state stores and the features they support";
        return err;
    }
    for (size_t i = 0; i < count; i++) {
        err_t err = check_key(rq, store, operations[i].item.key);
        if (err != OK)
            return err;
    }
    return check_count(rq, store, count);
}

static err_t
fail_transaction(struct request *rq, err_t err, const struct frame_status *status,
                 struct slice reason)
{
    err_t failed = fail(rq, ERR_STATE_TRANSACTION,
                        "error while executing state transaction: " SLICE_FMT, SLICE_ARG(reason));
    set_statuses(rq, err, status);
    return failed;
}

/* The same for what a transaction writes. */
static bool
seal_operations(struct request *rq, const struct component *store,
                const struct state_operation **operations, size_t count, struct slice *ret_reason)
{
    struct state_operation *copies = ARENA_ARRAY(rq->arena, struct state_operation, count);
    struct state_item **list = ARENA_ARRAY(rq->arena, struct state_item *, count);
    size_t sets = 0;
    for (size_t i = 0; i < count; i++) {
        copies[i] = (*operations)[i];
        if (!copies[i].is_delete && !copies[i].item.is_bare)
            list[sets++] = &copies[i].item;
    }
    *operations = copies;
    return state_crypt_seal(rq, store, list, sets, ret_reason);
}

/* `ret_is_unclear` (may be NULL): it has failed, and may have happened nevertheless. */
static err_t
transact(struct request *rq, struct component *store, const struct state_operation *operations,
         size_t count, const struct pair *metadata, size_t metadata_count, bool *ret_is_unclear)
{
    if (state_is_encrypted(store)) {
        struct slice reason;
        if (!seal_operations(rq, store, &operations, count, &reason))
            return fail_transaction(rq, OK, &(struct frame_status){ 0 }, reason);
    }
    struct component_call call;
    struct packed packed = state_pack_transact(rq->arena, store, operations, count, metadata,
                                               metadata_count);
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_STATE_TRANSACT,
        .is_write = true,
        .message = packed.message,
        .parts = packed.parts,
        .part_count = packed.part_count,
        .ret_is_unclear = ret_is_unclear
    };
    err_t err = operation_run(rq, store, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = fail_transaction(rq, err, &call.bus.call.status, operation_reason(rq, err, &call));
    component_call_finish(rq->task, &call);
    return err;
}

/* The events come first: what is stored without one would never be told, while one without its
 * transaction is recognised, because the transaction leaves a mark for it. */
static err_t
transact_with_events(struct request *rq, struct component *store,
                     const struct state_operation *operations, size_t count,
                     const struct pair *metadata, size_t metadata_count)
{
    struct outbox_batch batch;
    bool is_unclear = false;
    err_t err = outbox_plan(rq, store, operations, count, metadata, metadata_count, &batch);
    if (err == OK)
        err = check_count(rq, store, batch.count);
    if (err != OK || batch.count == 0)
        return err;
    task_shield_begin(rq->task); /* a client that leaves must not take the one without the other */
    err = outbox_publish(rq, &batch); /* suspends */
    if (err == OK)
        err = transact(rq, store, batch.operations, batch.count, metadata, metadata_count,
                       &is_unclear); /* suspends */
    outbox_settle(&batch, err != OK && !is_unclear);
    task_shield_end(rq->task);
    return err;
}

err_t
state_transact(struct request *rq, struct component *store,
               const struct state_operation *operations, size_t count, const struct pair *metadata,
               size_t metadata_count)
{
    err_t err = check_transaction(rq, store, operations, count);
    if (err != OK || count == 0)
        return err;
    for (size_t i = 0; i < count; i++) {
        const char *wrong = bad_options(rq, &operations[i].item);
        if (wrong != NULL)
            return fail_transaction(rq, OK, &(struct frame_status){ 0 }, slice_str(wrong));
    }
    if (outbox_is_on(store))
        return transact_with_events(rq, store, operations, count, metadata, metadata_count);
    return transact(rq, store, operations, count, metadata, metadata_count, NULL);
}

/* --- query -------------------------------------------------------------------------------------*/

static err_t
fail_query(struct request *rq, const struct component *store, err_t err,
           const struct component_call *call, struct slice reason)
{
    struct slice name = store->facts->name;
    err_t failed = fail(rq, ERR_STATE_QUERY, "state store " SLICE_FMT " query failed: " SLICE_FMT,
                        SLICE_ARG(name), SLICE_ARG(reason));
    error_add_resource(rq, "state", name);
    set_statuses(rq, err, &call->bus.call.status);
    return failed;
}

static void
read_query_items(struct request *rq, const struct component *store,
                 const Remora__Plugin__V1__StateQueryReply *reply,
                 struct state_query_result *ret_result)
{
    struct slice prefix = store->facts->key_prefix;
    struct state_bulk_item *items = ARENA_ARRAY(rq->arena, struct state_bulk_item,
                                                reply->n_items + 1);
    for (size_t i = 0; i < reply->n_items; i++) {
        const Remora__Plugin__V1__StateQueryReply__Item *from = reply->items[i];
        struct slice key = slice_str(from->key);
        items[i].key = slice_has_prefix(key, prefix) ? slice_from(key, prefix.len) : key;
        items[i].error = item_error(from->status);
        items[i].value = (struct state_value){
            .found = true,
            .has_etag = from->_etag_case == REMORA__PLUGIN__V1__STATE_QUERY_REPLY__ITEM___ETAG_ETAG,
            .value_bytes = (int64_t)from->value_bytes,
        };
        if (items[i].value.has_etag)
            items[i].value.etag = slice_str(from->etag);
    }
    ret_result->items = items;
    ret_result->count = reply->n_items;
    ret_result->token = slice_str(reply->token);
    ret_result->metadata = ARENA_ARRAY(rq->arena, struct pair, reply->n_metadata + 1);
    ret_result->metadata_count = reply->n_metadata;
    for (size_t i = 0; i < reply->n_metadata; i++)
        ret_result->metadata[i] = (struct pair){ slice_str(reply->metadata[i]->name),
                                                 slice_str(reply->metadata[i]->value) };
}

err_t
state_query(struct request *rq, struct component *store, struct slice query,
            const struct pair *metadata, size_t metadata_count,
            struct state_query_result *ret_result, struct state_body *ret_body)
{
    *ret_body = (struct state_body){ 0 };
    struct component_call *call = &ret_body->call;
    if (state_is_encrypted(store)) /* there is nothing in it that a store could compare */
        return fail_query(rq, store, OK, call, SLICE("cannot query encrypted store"));
    struct packed packed = state_pack_query(rq->arena, store, query, metadata, metadata_count);
    err_t err = run(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_STATE_QUERY, packed, false, call);
    if (err == OK && call->bus.call.status.code == GRPC_UNIMPLEMENTED) {
        err = fail(rq, ERR_STATE_NO_QUERY, "state store does not support querying");
        error_add_resource(rq, "state", store->facts->name);
        return err;
    }
    if (operation_has_failed(err, call))
        return fail_query(rq, store, err, call, operation_reason(rq, err, call));
    const Remora__Plugin__V1__StateQueryReply *reply = operation_unpack(
        rq, &remora__plugin__v1__state_query_reply__descriptor, LIMIT_state_items_max, call);
    if (reply == NULL)
        return fail_query(rq, store, ERR_PLUGIN_PROTOCOL, call,
                          SLICE("the plugin's answer is malformed"));
    read_query_items(rq, store, reply, ret_result);
    if (!adds_up(ret_result->items, ret_result->count, call))
        return fail_query(rq, store, ERR_PLUGIN_PROTOCOL, call,
                          SLICE("the plugin's answer is malformed"));
    return OK;
}
