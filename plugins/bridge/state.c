/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State stores. What a store offers to do with many items it need not do: Unimplemented is answered
 * by asking item by item.
 */
#include "state.h"

#include <string.h>
#include <time.h>

#include <dapr/proto/components/v1/state.pb-c.h>

#include "../shared/memory.h"
#include "failure.h"
#include "kind.h"
#include "query.h"
#include "wire.h"

#define V1(name) Dapr__Proto__Components__V1__##name
#define INIT(name) DAPR__PROTO__COMPONENTS__V1__##name##__INIT
#define DESCRIPTOR(name) (&dapr__proto__components__v1__##name##__descriptor)
#define METHOD(service, name) "/" BRIDGE_PACKAGE service "/" name

typedef V1(GetRequest) get_t;
typedef V1(SetRequest) set_t;
typedef V1(DeleteRequest) delete_t;

/* --- requests ----------------------------------------------------------------------------------*/

static V1(Etag) * etag_of(remora_call *call, bool has_etag, struct remora_slice text)
{
    if (!has_etag)
        return NULL;
    V1(Etag) *etag = remora_call_alloc(call, sizeof *etag);
    *etag = (V1(Etag))INIT(ETAG);
    etag->value = wire_text(call, text);
    return etag;
}

/* Both enums have the numbers of this protocol's. */
static V1(StateOptions) * options_of(remora_call *call, enum remora_concurrency concurrency,
                                     enum remora_consistency consistency)
{
    V1(StateOptions) *options = remora_call_alloc(call, sizeof *options);
    *options = (V1(StateOptions))INIT(STATE_OPTIONS);
    options->concurrency = (V1(StateOptions__StateConcurrency))concurrency;
    options->consistency = (V1(StateOptions__StateConsistency))consistency;
    return options;
}

static void
pack_get(remora_call *call, const struct remora_state_get *from, get_t *to)
{
    *to = (get_t)INIT(GET_REQUEST);
    to->key = wire_text(call, from->key);
    to->n_metadata = from->metadata_count;
    to->metadata = wire_map(call, from->metadata, from->metadata_count,
                            DESCRIPTOR(get_request__metadata_entry));
    to->consistency = (V1(StateOptions__StateConsistency))from->consistency;
}

static void
pack_set(remora_call *call, const struct remora_state_set *from, set_t *to)
{
    struct remora_slice content_type;
    *to = (set_t)INIT(SET_REQUEST);
    to->key = wire_text(call, from->key);
    to->value = wire_bytes(from->value);
    to->etag = etag_of(call, from->has_etag, from->etag);
    to->n_metadata = from->metadata_count;
    to->metadata = wire_map(call, from->metadata, from->metadata_count,
                            DESCRIPTOR(set_request__metadata_entry));
    to->options = options_of(call, from->concurrency, from->consistency);
    if (remora_metadata_get(from->metadata, from->metadata_count, "contentType", &content_type))
        to->content_type = wire_text(call, content_type);
}

static void
pack_delete(remora_call *call, const struct remora_state_delete *from, delete_t *to)
{
    *to = (delete_t)INIT(DELETE_REQUEST);
    to->key = wire_text(call, from->key);
    to->etag = etag_of(call, from->has_etag, from->etag);
    to->n_metadata = from->metadata_count;
    to->metadata = wire_map(call, from->metadata, from->metadata_count,
                            DESCRIPTOR(delete_request__metadata_entry));
    to->options = options_of(call, from->concurrency, from->consistency);
}

/* --- values ------------------------------------------------------------------------------------*/

struct remora_slice
state_copy(remora_call *call, struct remora_slice bytes)
{
    return (struct remora_slice){ wire_text(call, bytes), bytes.len };
}

/* RFC 3339; what it says of fractions of a second is not kept. */
static int64_t
expiry_of(void *map, size_t count)
{
    struct wire_entry *const *entries = map;
    struct tm when = { 0 };
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i]->key, "ttlExpireTime") == 0 &&
            strptime(entries[i]->value, "%Y-%m-%dT%H:%M:%S", &when) != NULL)
            return (int64_t)timegm(&when) * 1000;
    return 0;
}

/* A store says of a key that it has not by sending nothing. */
static struct remora_state_value
value_of(const V1(Etag) * etag, ProtobufCBinaryData data, int64_t expires_unix_ms)
{
    return (struct remora_state_value){
        .found = data.len > 0 || etag != NULL,
        .has_etag = etag != NULL && etag->value[0] != '\0',
        .etag = wire_str(etag == NULL ? "" : etag->value),
        .value = { .data = data.data, .len = data.len },
        .expires_unix_ms = expires_unix_ms,
    };
}

/* --- one item ----------------------------------------------------------------------------------*/

static void
on_value(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const V1(GetResponse) *in = reply;
    if (in == NULL) {
        const struct remora_failure failure = failure_of(ask->call, end);
        remora_reply_failure(ask->call, &failure);
        return;
    }
    const struct remora_state_value value = value_of(in->etag, in->data,
                                                     expiry_of(in->metadata, in->n_metadata));
    remora_state_reply_value(ask->call, &value);
}

static void
on_written(struct ask *ask, void *reply, const struct rpc_end *end)
{
    if (reply != NULL) {
        remora_reply_ok(ask->call);
        return;
    }
    const struct remora_failure failure = failure_of_write(ask->call, end);
    remora_reply_failure(ask->call, &failure);
}

static struct ask
ask_get(struct remote *remote, remora_call *call, const get_t *request)
{
    return (struct ask){
        .remote = remote,
        .call = call,
        .method = METHOD("StateStore", "Get"),
        .request = &request->base,
        .reply = DESCRIPTOR(get_response),
        .answer = on_value,
    };
}

static void
state_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    get_t request;
    pack_get(call, get, &request);
    const struct ask ask = ask_get(self, call, &request);
    ask_remote(&ask);
}

static struct ask
ask_set(struct remote *remote, remora_call *call, const set_t *request)
{
    return (struct ask){
        .remote = remote,
        .call = call,
        .method = METHOD("StateStore", "Set"),
        .request = &request->base,
        .reply = DESCRIPTOR(set_response),
        .answer = on_written,
    };
}

static void
state_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    set_t request;
    pack_set(call, set, &request);
    const struct ask ask = ask_set(self, call, &request);
    ask_remote(&ask);
}

static struct ask
ask_delete(struct remote *remote, remora_call *call, const delete_t *request)
{
    return (struct ask){
        .remote = remote,
        .call = call,
        .method = METHOD("StateStore", "Delete"),
        .request = &request->base,
        .reply = DESCRIPTOR(delete_response),
        .answer = on_written,
    };
}

static void
state_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    delete_t request;
    pack_delete(call, del, &request);
    const struct ask ask = ask_delete(self, call, &request);
    ask_remote(&ask);
}

/* --- many items --------------------------------------------------------------------------------*/

/* In memory of the call. Of each kind of item one array is there. */
struct many {
    size_t count;
    get_t **gets;
    set_t **sets;
    delete_t **deletes;
    struct remora_state_value *values;
    const struct remora_failure **failures;
};

static const struct remora_failure *
keep_failure(remora_call *call, struct remora_failure failure)
{
    struct remora_failure *kept = remora_call_alloc(call, sizeof *kept);
    *kept = failure;
    return kept;
}

static void
keep_value(remora_call *call, struct remora_state_value *to, struct remora_state_value value)
{
    value.etag = state_copy(call, value.etag);
    const struct remora_slice bytes = state_copy(
        call, (struct remora_slice){ value.value.data, value.value.len });
    value.value = (struct remora_bytes){ .data = bytes.data, .len = bytes.len };
    *to = value;
}

static void
reply_many(struct ask *ask)
{
    const struct many *many = ask->arg;
    if (many->gets != NULL)
        remora_state_reply_values(ask->call, many->values, many->count);
    else
        remora_state_reply_failures(ask->call, many->failures, many->count);
}

static void
ask_one(struct ask *ask)
{
    const struct many *many = ask->arg;
    if (many->gets != NULL)
        ask->request = &many->gets[ask->index]->base;
    else if (many->sets != NULL)
        ask->request = &many->sets[ask->index]->base;
    else
        ask->request = &many->deletes[ask->index]->base;
    ask_again(ask);
}

static void
on_one(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const struct many *many = ask->arg;
    struct remora_state_value *value = many->gets == NULL ? NULL : &many->values[ask->index];
    if (many->gets != NULL && reply == NULL) {
        value->failure = keep_failure(ask->call, failure_of(ask->call, end));
    } else if (many->gets != NULL) {
        const V1(GetResponse) *in = reply;
        keep_value(ask->call, value,
                   value_of(in->etag, in->data, expiry_of(in->metadata, in->n_metadata)));
    } else if (reply == NULL) {
        many->failures[ask->index] = keep_failure(ask->call, failure_of_write(ask->call, end));
    }
    const bool is_cancelled = remora_call_is_cancelled(ask->call);
    if (++ask->index < many->count && !is_cancelled)
        ask_one(ask);
    else if (is_cancelled)
        remora_reply_error(ask->call, REMORA_CANCELLED, "not all items were done in time");
    else
        reply_many(ask);
}

static void
one_by_one(struct ask *ask)
{
    const struct many *many = ask->arg;
    const struct ask row = many->gets != NULL ? ask_get(ask->remote, ask->call, many->gets[0])
                           : many->sets != NULL
                               ? ask_set(ask->remote, ask->call, many->sets[0])
                               : ask_delete(ask->remote, ask->call, many->deletes[0]);
    ask->method = row.method;
    ask->reply = row.reply;
    ask->answer = on_one;
    ask->index = 0;
    ask_one(ask);
}

static struct many *
many_new(remora_call *call, size_t count)
{
    struct many *many = remora_call_alloc(call, sizeof *many);
    *many = (struct many){ .count = count };
    many->values = remora_call_alloc(call, count * sizeof *many->values);
    many->failures = remora_call_alloc(call, count * sizeof(const struct remora_failure *));
    for (size_t i = 0; i < count; i++) {
        many->values[i] = (struct remora_state_value){ .found = false };
        many->failures[i] = NULL;
    }
    return many;
}

/* The items come in any order, and what is not there may be left out. */
static void
on_values(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const struct many *many = ask->arg;
    const V1(BulkGetResponse) *in = reply;
    if (in == NULL && end->code == REMORA_UNIMPLEMENTED && end->is_of_component) {
        one_by_one(ask);
        return;
    }
    if (in == NULL) {
        const struct remora_failure failure = failure_of(ask->call, end);
        remora_reply_failure(ask->call, &failure);
        return;
    }
    for (size_t i = 0; i < in->n_items; i++) {
        const V1(BulkStateItem) *item = in->items[i];
        struct remora_state_value value = value_of(item->etag, item->data,
                                                   expiry_of(item->metadata, item->n_metadata));
        if (item->error[0] != '\0')
            value.failure = keep_failure(
                ask->call,
                (struct remora_failure){ .code = REMORA_INTERNAL,
                                         .message = wire_text(ask->call, wire_str(item->error)) });
        for (size_t k = 0; k < many->count; k++)
            if (strcmp(many->gets[k]->key, item->key) == 0)
                keep_value(ask->call, &many->values[k], value);
    }
    reply_many(ask);
}

/* One status for all: nobody says which of them it was. */
static void
on_all_written(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const struct many *many = ask->arg;
    if (reply == NULL && end->code == REMORA_UNIMPLEMENTED && end->is_of_component) {
        one_by_one(ask);
        return;
    }
    if (reply == NULL) {
        const struct remora_failure *failure = keep_failure(ask->call,
                                                            failure_of_write(ask->call, end));
        for (size_t i = 0; i < many->count; i++)
            many->failures[i] = failure;
    }
    reply_many(ask);
}

static void
state_get_many(remora_call *call, void *self, const struct remora_state_get *gets, size_t count,
               uint32_t parallelism)
{
    V1(BulkGetRequest) request = INIT(BULK_GET_REQUEST);
    V1(BulkGetRequestOptions) options = INIT(BULK_GET_REQUEST_OPTIONS);
    struct many *many = many_new(call, count);
    get_t *items = remora_call_alloc(call, count * sizeof *items);
    many->gets = remora_call_alloc(call, count * sizeof(get_t *));
    for (size_t i = 0; i < count; i++) {
        pack_get(call, &gets[i], &items[i]);
        many->gets[i] = &items[i];
    }
    request.n_items = count;
    request.items = many->gets;
    request.options = &options;
    options.parallelism = parallelism;
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("StateStore", "BulkGet"),
        .request = &request.base,
        .reply = DESCRIPTOR(bulk_get_response),
        .answer = on_values,
        .arg = many,
    };
    ask_remote(&ask);
}

static void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count)
{
    V1(BulkSetRequest) request = INIT(BULK_SET_REQUEST);
    V1(BulkSetRequestOptions) options = INIT(BULK_SET_REQUEST_OPTIONS);
    struct many *many = many_new(call, count);
    set_t *items = remora_call_alloc(call, count * sizeof *items);
    many->sets = remora_call_alloc(call, count * sizeof(set_t *));
    for (size_t i = 0; i < count; i++) {
        pack_set(call, &sets[i], &items[i]);
        many->sets[i] = &items[i];
    }
    request.n_items = count;
    request.items = many->sets;
    request.options = &options;
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("StateStore", "BulkSet"),
        .request = &request.base,
        .reply = DESCRIPTOR(bulk_set_response),
        .answer = on_all_written,
        .arg = many,
    };
    ask_remote(&ask);
}

static void
state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                  size_t count)
{
    V1(BulkDeleteRequest) request = INIT(BULK_DELETE_REQUEST);
    V1(BulkDeleteRequestOptions) options = INIT(BULK_DELETE_REQUEST_OPTIONS);
    struct many *many = many_new(call, count);
    delete_t *items = remora_call_alloc(call, count * sizeof *items);
    many->deletes = remora_call_alloc(call, count * sizeof(delete_t *));
    for (size_t i = 0; i < count; i++) {
        pack_delete(call, &dels[i], &items[i]);
        many->deletes[i] = &items[i];
    }
    request.n_items = count;
    request.items = many->deletes;
    request.options = &options;
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("StateStore", "BulkDelete"),
        .request = &request.base,
        .reply = DESCRIPTOR(bulk_delete_response),
        .answer = on_all_written,
        .arg = many,
    };
    ask_remote(&ask);
}

/* --- transactions ------------------------------------------------------------------------------*/

static V1(TransactionalStateOperation) *
    operation_of(remora_call *call, const struct remora_state_operation *from)
{
    V1(TransactionalStateOperation) *to = remora_call_alloc(call, sizeof *to);
    *to = (V1(TransactionalStateOperation))INIT(TRANSACTIONAL_STATE_OPERATION);
    if (from->is_delete) {
        to->request_case =
            DAPR__PROTO__COMPONENTS__V1__TRANSACTIONAL_STATE_OPERATION__REQUEST_DELETE;
        to->delete_ = remora_call_alloc(call, sizeof *to->delete_);
        pack_delete(call, &from->del, to->delete_);
    } else {
        to->request_case = DAPR__PROTO__COMPONENTS__V1__TRANSACTIONAL_STATE_OPERATION__REQUEST_SET;
        to->set = remora_call_alloc(call, sizeof *to->set);
        pack_set(call, &from->set, to->set);
    }
    return to;
}

static void
state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    V1(TransactionalStateRequest) request = INIT(TRANSACTIONAL_STATE_REQUEST);
    request.operations = remora_call_alloc(call, count * sizeof(void *));
    request.n_operations = count;
    for (size_t i = 0; i < count; i++)
        request.operations[i] = operation_of(call, &ops[i]);
    request.n_metadata = metadata_count;
    request.metadata = wire_map(call, metadata, metadata_count,
                                DESCRIPTOR(transactional_state_request__metadata_entry));
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("TransactionalStateStore", "Transact"),
        .request = &request.base,
        .reply = DESCRIPTOR(transactional_state_response),
        .answer = on_written,
    };
    ask_remote(&ask);
}

/* --- what it can do ----------------------------------------------------------------------------*/

static void
take_features(struct remote *remote, struct remora_slice answer)
{
    static const struct {
        const char *name;
        unsigned capability;
        unsigned service; /* that it is done by */
    } features[] = {
        { "ETAG", REMORA_CAP_ETAG, SERVICE_STATE },
        { "TTL", REMORA_CAP_TTL, SERVICE_STATE },
        { "TRANSACTIONAL", REMORA_CAP_TRANSACTIONAL, SERVICE_TRANSACT },
        { "QUERY_API", REMORA_CAP_QUERY_API, SERVICE_QUERY },
    };
    V1(FeaturesResponse) *in = wire_unpack(DESCRIPTOR(features_response), answer);
    remote->capabilities = 0;
    for (size_t i = 0; in != NULL && i < in->n_features; i++)
        for (size_t k = 0; k < sizeof features / sizeof features[0]; k++)
            if (strcmp(in->features[i], features[k].name) == 0 &&
                (remote->services & features[k].service) != 0)
                remote->capabilities |= features[k].capability;
    wire_free(in);
}

static void
take_max_size(struct remote *remote, struct remora_slice answer)
{
    V1(MultiMaxSizeResponse) *in = wire_unpack(DESCRIPTOR(multi_max_size_response), answer);
    const int64_t size = in == NULL ? 0 : in->max_size;
    remote->operations_max = size <= 0 ? 0 : size > INT32_MAX ? INT32_MAX : (uint32_t)size;
    wire_free(in);
}

static void
reply_ready(struct remote *remote)
{
    remora_reply_init(remote->init_call, remote, remote->capabilities, remote->operations_max);
}

static const struct step steps[] = {
    { .service = SERVICE_STATE, .method = METHOD("StateStore", "Init"), .is_init = true },
    { .service = SERVICE_STATE,
      .method = METHOD("StateStore", "Features"),
      .is_optional = true,
      .take = take_features },
    { .service = SERVICE_MULTI_MAX,
      .method = METHOD("TransactionalStoreMultiMaxSize", "MultiMaxSize"),
      .is_optional = true,
      .take = take_max_size },
    { .service = 0 },
};

const struct kind kind_state = {
    .name = "state store",
    .services = SERVICE_STATE,
    .steps = steps,
    .reply = reply_ready,
};

const struct remora_state_ops state_ops = {
    .get = state_get,
    .get_many = state_get_many,
    .set = state_set,
    .set_many = state_set_many,
    .del = state_delete,
    .delete_many = state_delete_many,
    .transact = state_transact,
    .query = state_query,
};
