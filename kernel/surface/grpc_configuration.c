/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration API over gRPC: one handler a row of methods.def. SubscribeConfiguration is a
 * stream of answers: the first has the id alone, each of the others changes. It ends when the
 * client ends it, when it is unsubscribed, and when the process ends.
 */
#include "api/configuration.h"
#include "api/configuration_watch.h"
#include "base/limits.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/configuration.pb-c.h"
#include "surface/grpc_surface.h"

/* Fields of GetConfigurationResponse and SubscribeConfigurationResponse. */
enum { GET_ITEMS = 1, CHANGE_ID = 1, CHANGE_ITEMS = 2 };

/* --- items -------------------------------------------------------------------------------------*/

/* Strings of protobuf are UTF-8: what is not becomes U+FFFD. */
static struct slice
as_text(struct arena *arena, struct slice bytes)
{
    struct arena_bytes text = { 0 };
    if (slice_is_utf8(bytes))
        return bytes;
    while (bytes.len > 0) {
        size_t len = slice_utf8_len(bytes);
        arena_append(arena, &text, len > 0 ? slice_first(bytes, len) : SLICE("\xEF\xBF\xBD"));
        bytes = slice_from(bytes, len > 0 ? len : 1);
    }
    return arena_bytes_slice(&text);
}

static struct configuration_item
text_item(struct arena *arena, const struct configuration_item *item)
{
    struct pair *metadata = ARENA_ARRAY(arena, struct pair, item->metadata_count + 1);
    for (size_t i = 0; i < item->metadata_count; i++)
        metadata[i] = (struct pair){ as_text(arena, item->metadata[i].name),
                                     as_text(arena, item->metadata[i].value) };
    return (struct configuration_item){ .key = as_text(arena, item->key),
                                        .value = as_text(arena, item->value),
                                        .version = as_text(arena, item->version),
                                        .metadata = metadata,
                                        .metadata_count = item->metadata_count };
}

static size_t
pair_len(const struct pair *pair)
{
    return wire_bytes_len(1, pair->name) + wire_bytes_len(2, pair->value);
}

/* ConfigurationItem { value = 1, version = 2, map<string, string> metadata = 3 } */
static size_t
value_len(const struct configuration_item *item)
{
    size_t len = wire_bytes_len(1, item->value) + wire_bytes_len(2, item->version);
    for (size_t i = 0; i < item->metadata_count; i++) {
        size_t pair = pair_len(&item->metadata[i]);
        len += 1 + wire_varint_len(pair) + pair;
    }
    return len;
}

/* An entry of map<string, ConfigurationItem>. */
static size_t
entry_len(const struct configuration_item *item)
{
    size_t value = value_len(item);
    return wire_bytes_len(1, item->key) + 1 + wire_varint_len(value) + value;
}

static char *
put_entry(char *at, unsigned field, const struct configuration_item *item)
{
    at = wire_put_head(at, field, entry_len(item));
    at = wire_put_bytes(at, 1, item->key);
    at = wire_put_head(at, 2, value_len(item));
    at = wire_put_bytes(at, 1, item->value);
    at = wire_put_bytes(at, 2, item->version);
    for (size_t i = 0; i < item->metadata_count; i++) {
        at = wire_put_head(at, 3, pair_len(&item->metadata[i]));
        at = wire_put_bytes(at, 1, item->metadata[i].name);
        at = wire_put_bytes(at, 2, item->metadata[i].value);
    }
    return at;
}

/* --- requests ----------------------------------------------------------------------------------*/

/* The generated requests of Get and Subscribe are alike. */
#define TAKE_QUERY(rpc, in, ret_query)                                                             \
    do {                                                                                           \
        struct slice *query_keys = ARENA_ARRAY((rpc)->rq.arena, struct slice, (in)->n_keys + 1);   \
        for (size_t query_i = 0; query_i < (in)->n_keys; query_i++)                                \
            query_keys[query_i] = slice_str((in)->keys[query_i]);                                  \
        *(ret_query) = (struct configuration_query){ .keys = query_keys,                           \
                                                     .key_count = (in)->n_keys,                    \
                                                     .metadata_count = (in)->n_metadata };         \
        RPC_PAIRS((rpc)->rq.arena, (in)->metadata, (in)->n_metadata, &(ret_query)->metadata);      \
    } while (0)

static void
answer_items(struct rpc *rpc, const struct configuration_item *items, size_t count)
{
    struct configuration_item *texts = ARENA_ARRAY(rpc->rq.arena, struct configuration_item,
                                                   count + 1);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        texts[i] = text_item(rpc->rq.arena, &items[i]);
        bytes += WIRE_HEAD_MAX + entry_len(&texts[i]);
    }
    char *from = arena_alloc(rpc->rq.arena, bytes + 1), *at = from;
    for (size_t i = 0; i < count; i++)
        at = put_entry(at, GET_ITEMS, &texts[i]);
    if (grpc_send(&rpc->call, slice_of(from, (size_t)(at - from))) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

void
grpc_configuration_get(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__GetConfigurationRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__get_configuration_request__descriptor);
    struct component *store;
    struct configuration_query query;
    struct configuration_item *items = NULL;
    size_t count = 0;
    if (in == NULL)
        return;
    TAKE_QUERY(rpc, in, &query);
    if (configuration_store_find(&rpc->rq, slice_str(in->store_name), &store) != OK ||
        configuration_get(&rpc->rq, store, &query, &items, &count) != OK) /* these suspend */
        rpc_fail(rpc);
    else
        answer_items(rpc, items, count);
}

/* UnsubscribeConfigurationResponse { ok = 1, message = 2 }: a failure is told there too. */
void
grpc_configuration_unsubscribe(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__UnsubscribeConfigurationRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__unsubscribe_configuration_request__descriptor);
    Dapr__Proto__Runtime__V1__UnsubscribeConfigurationResponse out =
        DAPR__PROTO__RUNTIME__V1__UNSUBSCRIBE_CONFIGURATION_RESPONSE__INIT;
    if (in == NULL)
        return;
    out.ok = configuration_unsubscribe(slice_str(in->id));
    if (!out.ok)
        out.message = pb_string(rpc->rq.arena,
                                arena_printf(rpc->rq.arena,
                                             "failed to unsubscribe to configuration request %s: "
                                             "subscription does not exist",
                                             in->id));
    rpc_reply(rpc, &out.base);
}

/* --- a stream ----------------------------------------------------------------------------------*/

/* One message. `scratch` is not the request's: a stream may last. */
static err_t
send_changes(struct rpc *rpc, struct arena *scratch, struct slice id, struct list *changes)
{
    size_t bytes = wire_bytes_len(CHANGE_ID, id), count = 0;
    for (struct list *at = changes->next; at != changes; at = at->next) {
        struct configuration_change *change = container_of(at, struct configuration_change, link);
        change->item = text_item(scratch, &change->item);
        bytes += WIRE_HEAD_MAX + entry_len(&change->item);
        count++;
    }
    char *from = arena_alloc(scratch, bytes), *to = wire_put_bytes(from, CHANGE_ID, id);
    for (struct list *at = changes->next; at != changes; at = at->next)
        to = put_entry(to, CHANGE_ITEMS,
                       &container_of(at, struct configuration_change, link)->item);
    err_t err = grpc_send(&rpc->call, slice_of(from, (size_t)(to - from))); /* suspends */
    configuration_changes_free(changes);
    arena_reset(scratch);
    return err;
}

static void
stream_changes(struct rpc *rpc, struct configuration_watch *watch)
{
    struct slice id = configuration_watch_id(watch);
    struct arena scratch;
    struct list changes;
    arena_init(&scratch);
    list_init(&changes);
    err_t err = send_changes(rpc, &scratch, id, &changes); /* suspends */
    bool can_end = err == OK;
    while (err == OK) {
        err = configuration_watch_next(rpc->rq.task, watch, &changes); /* suspends */
        if (err != OK)
            break;
        err = send_changes(rpc, &scratch, id, &changes); /* suspends */
        can_end = err == OK;
    }
    arena_fini(&scratch);
    bool is_ending = atomic_load_explicit(&rpc->rq.kernel->is_ending, memory_order_relaxed);
    if (!can_end)
        return; /* nobody is there to be told */
    if (err == ERR_DEADLINE)
        rpc_end(rpc, GRPC_DEADLINE_EXCEEDED, SLICE("the subscription's time is over"));
    else if (err != ERR_CLOSED)
        rpc_end(rpc, GRPC_CANCELLED, SLICE("the subscription was cancelled"));
    else if (is_ending)
        rpc_end(rpc, GRPC_UNAVAILABLE, SLICE("the server is shutting down"));
    else
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

void
grpc_configuration_subscribe(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__SubscribeConfigurationRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__subscribe_configuration_request__descriptor);
    struct component *store;
    struct configuration_query query;
    struct configuration_watch *watch;
    if (in == NULL)
        return;
    rpc->call.x->is_passed_on = true;
    rpc->call.answers_gzip = false; /* a copy of every message would stay */
    TAKE_QUERY(rpc, in, &query);
    if (configuration_store_find(&rpc->rq, slice_str(in->store_name), &store) != OK ||
        configuration_watch_open(&rpc->rq, store, &query, &watch) != OK) { /* these suspend */
        rpc_fail(rpc);
        return;
    }
    stream_changes(rpc, watch); /* suspends */
    configuration_watch_close(watch);
}
