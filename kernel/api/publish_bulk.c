/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many messages of one topic; see publish_bulk.h. They are wrapped and sent in portions, each with
 * an arena of its own, so that neither memory nor a message of the plugin contract grows with what
 * a client sends. A broker that has no bulk operation gets them one by one, in their order.
 */
#include "api/publish_bulk.h"

#include "api/cloudevent.h"
#include "api/operation.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "telemetry/metrics.h"

enum {
    PORTION_ENTRIES_MAX = 512,
    PORTION_DATA_BYTES = 1024 * 1024,
    PORTION_TEXT_BYTES = 32 * 1024, /* ids, types and metadata: they share one message */
    ENTRY_TEXT_BYTES = 64,          /* of an entry besides */
    REASON_BYTES_MAX = 1024,
};

typedef Remora__Plugin__V1__PubsubPublishBulk bulk_t;
typedef Remora__Plugin__V1__PubsubPublishBulk__Entry entry_t;
typedef Remora__Plugin__V1__PubsubPublishBulkReply reply_t;

/* The messages that are on their way together. */
struct portion {
    struct request rq; /* with the portion's arena */
    const struct publish_bulk *bulk;
    const struct bulk_entry **entries;
    struct publish_message *messages; /* one an entry */
    size_t count;
};

/* All of a request. */
struct batch {
    struct request *rq;
    const struct publish_bulk *bulk;
    const struct pair *common; /* metadata of messages that have none of their own */
    size_t common_count;
    struct bulk_failure *failures;
    size_t failure_count;
};

/* --- checks ------------------------------------------------------------------------------------*/

err_t
publish_bulk_fail(struct request *rq, const struct publish_bulk *bulk, const char *reason,
                  struct slice words, struct slice cause)
{
    (void)fail(rq, ERR_PUBSUB_EVENTS_SER, SLICE_FMT, SLICE_ARG(words));
    error_add_described_resource(rq, "pubsub", bulk->request.pubsub);
    error_add_info(rq, "appID", rq->kernel->app_id);
    if (cause.len > 0)
        error_add_info(rq, "error", cause);
    rq->error.reason = slice_str(reason);
    return ERR_PUBSUB_EVENTS_SER;
}

static err_t
fail_marshal(struct request *rq, const struct publish_bulk *bulk, struct slice cause)
{
    struct slice words = arena_printf(rq->arena,
                                      "error marshaling events to bytes for topic " SLICE_FMT
                                      " pubsub " SLICE_FMT ". error: " SLICE_FMT,
                                      SLICE_ARG(bulk->request.topic),
                                      SLICE_ARG(bulk->request.pubsub), SLICE_ARG(cause));
    return publish_bulk_fail(rq, bulk, "DAPR_PUBSUB_MARSHAL_EVENTS", words, cause);
}

err_t
publish_bulk_fail_size(struct request *rq, const struct publish_bulk *bulk)
{
    return fail_marshal(rq, bulk,
                        arena_printf(rq->arena,
                                     "a request is limited to %d entries, and its metadata and "
                                     "theirs to %d each",
                                     LIMIT_publish_entries_max, LIMIT_publish_metadata_max));
}

static bool
have_unique_ids(const struct publish_bulk *bulk)
{
    static char present;
    struct map ids;
    bool is_unique = true;
    map_init(&ids);
    for (size_t i = 0; i < bulk->entry_count && is_unique; i++)
        is_unique = bulk->entries[i].id.len > 0 &&
                    map_put(&ids, bulk->entries[i].id, &present) == NULL;
    map_fini(&ids);
    return is_unique;
}

/* --- portions ----------------------------------------------------------------------------------*/

static bool
has_name(const struct pair *pairs, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(pairs[i].name, name))
            return true;
    return false;
}

/* What a message says of itself counts before what the request says of all. Overrides of the
 * envelope are not for messages without metadata, as in the reference. */
static void
set_common(struct batch *batch)
{
    const struct publish_request *request = &batch->bulk->request;
    struct pair *common = ARENA_ARRAY(batch->rq->arena, struct pair, request->metadata_count + 1);
    for (size_t i = 0; i < request->metadata_count; i++)
        if (!slice_has_prefix_nocase(request->metadata[i].name, SLICE("cloudevent.")))
            common[batch->common_count++] = request->metadata[i];
    batch->common = common;
}

static void
set_metadata(const struct batch *batch, struct arena *arena, const struct bulk_entry *entry,
             struct publish_request *publish)
{
    const struct publish_request *request = &batch->bulk->request;
    publish->metadata = batch->common;
    publish->metadata_count = batch->common_count;
    if (entry->metadata_count == 0)
        return;
    struct pair *pairs = ARENA_ARRAY(arena, struct pair,
                                     entry->metadata_count + request->metadata_count);
    size_t count = entry->metadata_count;
    memcpy(pairs, entry->metadata, count * sizeof *pairs);
    for (size_t i = 0; i < request->metadata_count; i++)
        if (!has_name(entry->metadata, entry->metadata_count, request->metadata[i].name))
            pairs[count++] = request->metadata[i];
    publish->metadata = pairs;
    publish->metadata_count = count;
}

/* The message of an entry, its memory in the arena of `rq`. */
static err_t
make_message(const struct batch *batch, struct request *rq, const struct bulk_entry *entry,
             struct publish_message *message)
{
    struct publish_request publish = { .pubsub = batch->bulk->request.pubsub,
                                       .topic = batch->bulk->request.topic,
                                       .content_type = entry->content_type,
                                       .data = entry->data };
    set_metadata(batch, rq->arena, entry, &publish);
    *message = (struct publish_message){ .pubsub = publish.pubsub,
                                         .topic = publish.topic,
                                         .content_type = publish.content_type,
                                         .data = publish.data,
                                         .metadata = publish.metadata,
                                         .metadata_count = publish.metadata_count };
    return batch->bulk->is_raw ? OK : publish_wrap(rq, &publish, batch->bulk->broker, message);
}

/* Whether every message can be made, before the first is sent. Only events that an application has
 * written itself may fail. */
static err_t
try_messages(const struct batch *batch)
{
    struct request rq = *batch->rq;
    struct publish_message message;
    struct arena scratch;
    err_t err = OK;
    arena_init(&scratch);
    rq.arena = &scratch;
    size_t i = 0;
    for (; i < batch->bulk->entry_count; i++) {
        const struct bulk_entry *entry = &batch->bulk->entries[i];
        if (!batch->bulk->is_raw && cloudevent_is_type(entry->content_type))
            err = make_message(batch, &rq, entry, &message);
        if (err != OK)
            break;
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    /* Once more, for words that last. */
    return err == OK ? OK : make_message(batch, batch->rq, &batch->bulk->entries[i], &message);
}

static void
add_failure(struct batch *batch, const struct bulk_entry *entry, struct slice reason)
{
    batch->failures[batch->failure_count++] = (struct bulk_failure){
        .id = entry->id,
        .reason = arena_dup(batch->rq->arena, slice_first(reason, REASON_BYTES_MAX))
    };
}

static size_t
text_bytes(const struct bulk_entry *entry)
{
    size_t bytes = entry->id.len + entry->content_type.len + ENTRY_TEXT_BYTES;
    for (size_t i = 0; i < entry->metadata_count; i++)
        bytes += entry->metadata[i].name.len + entry->metadata[i].value.len;
    return bytes;
}

/* How many entries from `first` go together, at least one. */
static size_t
portion_count(const struct batch *batch, size_t first)
{
    const struct bulk_entry *entries = batch->bulk->entries;
    size_t common = 0, text = 0, data = 0, i = first;
    for (size_t k = 0; k < batch->bulk->request.metadata_count; k++)
        common += batch->bulk->request.metadata[k].name.len +
                  batch->bulk->request.metadata[k].value.len;
    for (; i < batch->bulk->entry_count && i - first < PORTION_ENTRIES_MAX; i++) {
        text += text_bytes(&entries[i]) + common;
        data += entries[i].data.len;
        if (i > first && (text > PORTION_TEXT_BYTES || data > PORTION_DATA_BYTES))
            break;
    }
    return i - first;
}

/* --- one operation of the broker ---------------------------------------------------------------*/

static entry_t *
pack_entry(const struct portion *portion, size_t i)
{
    struct arena *arena = portion->rq.arena;
    const struct publish_message *message = &portion->messages[i];
    entry_t *entry = ARENA_NEW(arena, entry_t);
    int64_t ttl_s;
    remora__plugin__v1__pubsub_publish_bulk__entry__init(entry);
    entry->entry_id = pb_string(arena, portion->entries[i]->id);
    entry->content_type = pb_string(arena, message->content_type);
    entry->data_bytes = message->data.len;
    entry->metadata = operation_pack_pairs(arena, message->metadata, message->metadata_count);
    entry->n_metadata = message->metadata_count;
    if ((portion->bulk->broker->facts->capabilities & CAN_MESSAGE_TTL) != 0 &&
        publish_read_ttl(message->metadata, message->metadata_count, &ttl_s)) {
        entry->_ttl_seconds_case =
            REMORA__PLUGIN__V1__PUBSUB_PUBLISH_BULK__ENTRY___TTL_SECONDS_TTL_SECONDS;
        entry->ttl_seconds = ttl_s;
    }
    return entry;
}

static void
pack(const struct portion *portion, struct operation *operation)
{
    struct arena *arena = portion->rq.arena;
    const struct publish_request *request = &portion->bulk->request;
    struct slice *parts = ARENA_ARRAY(arena, struct slice, portion->count);
    bulk_t out = REMORA__PLUGIN__V1__PUBSUB_PUBLISH_BULK__INIT;
    out.topic = publish_topic(arena, portion->bulk->broker, request->topic);
    out.entries = ARENA_ARRAY(arena, entry_t *, portion->count);
    out.n_entries = portion->count;
    for (size_t i = 0; i < portion->count; i++) {
        out.entries[i] = pack_entry(portion, i);
        parts[i] = portion->messages[i].data;
    }
    out.metadata = operation_pack_pairs(arena, request->metadata, request->metadata_count);
    out.n_metadata = request->metadata_count;
    operation->message = pb_pack(arena, &out.base);
    operation->parts = parts;
    operation->part_count = portion->count;
}

/* NULL: the answer is nonsense. */
static const reply_t *
read_reply(struct portion *portion, const struct component_call *call)
{
    const reply_t *reply = operation_unpack(
        &portion->rq, &remora__plugin__v1__pubsub_publish_bulk_reply__descriptor, portion->count,
        call);
    if (reply == NULL || reply->n_failures > portion->count)
        return NULL;
    for (size_t i = 0; i < reply->n_failures; i++)
        if (reply->failures[i]->index >= portion->count || reply->failures[i]->status == NULL ||
            (i > 0 && reply->failures[i]->index <= reply->failures[i - 1]->index))
            return NULL;
    return reply;
}

static enum grpc_code
portion_failed(void *arg, const struct component_call *call)
{
    const reply_t *reply = read_reply(arg, call);
    if (reply == NULL || reply->n_failures == 0)
        return GRPC_OK;
    enum grpc_code code = (enum grpc_code)reply->failures[0]->status->code;
    return code == GRPC_OK ? GRPC_UNKNOWN : code;
}

/* Another attempt is for those that have failed. */
static void
portion_narrow(void *arg, const struct component_call *call, struct operation *operation)
{
    struct portion *portion = arg;
    const reply_t *reply = read_reply(portion, call);
    if (reply == NULL)
        return; /* it was read once, so this does not happen */
    for (size_t i = 0; i < reply->n_failures; i++) {
        portion->entries[i] = portion->entries[reply->failures[i]->index];
        portion->messages[i] = portion->messages[reply->failures[i]->index];
    }
    portion->count = reply->n_failures;
    pack(portion, operation);
}

static void
send_together(struct batch *batch, struct portion *portion)
{
    struct component_call call = { 0 };
    const struct operation_items items = { .failed = portion_failed,
                                           .narrow = portion_narrow,
                                           .arg = portion };
    struct operation operation = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_PUBSUB_PUBLISH_BULK,
                                   .is_write = true,
                                   .items = &items };
    pack(portion, &operation);
    err_t err = operation_run(&portion->rq, portion->bulk->broker, &operation,
                              &call); /* suspends */
    const reply_t *reply = operation_has_failed(err, &call) ? NULL : read_reply(portion, &call);
    struct slice reason = operation_has_failed(err, &call)
                              ? operation_reason(&portion->rq, err, &call)
                              : SLICE("the plugin's answer is malformed");
    for (size_t i = 0; reply == NULL && i < portion->count; i++)
        add_failure(batch, portion->entries[i], reason);
    for (size_t i = 0; reply != NULL && i < reply->n_failures; i++)
        add_failure(batch, portion->entries[reply->failures[i]->index],
                    slice_str(reply->failures[i]->status->message));
    component_call_finish(portion->rq.task, &call);
}

static void
send_singly(struct batch *batch, struct portion *portion)
{
    for (size_t i = 0; i < portion->count; i++)
        if (publish_bytes(&portion->rq, &portion->messages[i]) != OK) /* suspends */
            add_failure(batch, portion->entries[i], task_diag(portion->rq.task)->message);
}

/* --- the whole ---------------------------------------------------------------------------------*/

static void
send_portion(struct batch *batch, size_t first, size_t count)
{
    struct portion portion = { .rq = *batch->rq, .bulk = batch->bulk, .count = count };
    struct arena arena;
    arena_init(&arena);
    portion.rq.arena = &arena;
    portion.entries = ARENA_ARRAY(&arena, const struct bulk_entry *, count);
    portion.messages = ARENA_ARRAY(&arena, struct publish_message, count);
    portion.count = 0;
    for (size_t i = first; i < first + count; i++) {
        const struct bulk_entry *entry = &batch->bulk->entries[i];
        portion.entries[portion.count] = entry;
        if (make_message(batch, &portion.rq, entry, &portion.messages[portion.count]) == OK)
            portion.count++;
        else /* it could be made a moment ago */
            add_failure(batch, entry, SLICE("cannot create cloudevent"));
    }
    if (portion.count > 0 && (batch->bulk->broker->facts->capabilities & CAN_BULK_PUBLISH) != 0)
        send_together(batch, &portion); /* suspends */
    else
        send_singly(batch, &portion); /* suspends */
    arena_fini(&arena);
}

static void
observe(const struct batch *batch, uint64_t took_ns)
{
    const struct publish_request *request = &batch->bulk->request;
    const struct slice labels[] = { request->pubsub, batch->rq->kernel->namespace_,
                                    batch->failure_count == 0 ? SLICE("true") : SLICE("false"),
                                    request->topic };
    metrics_record(metrics_series(METRICS_component_pubsub_egress_bulk, labels), took_ns);
}

err_t
publish_bulk_begin(struct request *rq, struct publish_bulk *bulk)
{
    return publish_check(rq, &bulk->request, &bulk->broker, &bulk->is_raw); /* suspends */
}

static err_t
check(struct request *rq, const struct publish_bulk *bulk)
{
    bool is_small = bulk->entry_count <= LIMIT_publish_entries_max &&
                    bulk->request.metadata_count <= LIMIT_publish_metadata_max;
    for (size_t i = 0; i < bulk->entry_count && is_small; i++)
        is_small = bulk->entries[i].metadata_count <= LIMIT_publish_metadata_max;
    if (!is_small)
        return publish_bulk_fail_size(rq, bulk);
    if (!have_unique_ids(bulk))
        return fail_marshal(rq, bulk, SLICE("entryId is duplicated or not present for entry"));
    if (publish_allowed(rq, bulk->broker, bulk->request.topic) != OK)
        return publish_fail_forbidden(rq, &bulk->request);
    return OK;
}

err_t
publish_bulk(struct request *rq, const struct publish_bulk *bulk,
             struct bulk_failure **ret_failures, size_t *ret_count)
{
    struct batch batch = { .rq = rq, .bulk = bulk };
    uint64_t started_ns = clock_now_ns();
    err_t err = check(rq, bulk);
    if (err != OK)
        return err;
    set_common(&batch);
    err = try_messages(&batch);
    if (err != OK)
        return err;
    batch.failures = ARENA_ARRAY(rq->arena, struct bulk_failure, bulk->entry_count);
    for (size_t i = 0; i < bulk->entry_count;) {
        size_t count = portion_count(&batch, i);
        send_portion(&batch, i, count); /* suspends */
        i += count;
    }
    observe(&batch, clock_now_ns() - started_ns);
    *ret_failures = batch.failures;
    *ret_count = batch.failure_count;
    return OK;
}
