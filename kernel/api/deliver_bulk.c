/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of events for the application; see deliver_bulk.h. Whoever brings the first message of a
 * batch leads it: it waits until the batch is full or its time is up, delivers it in its own task,
 * and tells the others, whose tasks and memory wait meanwhile, what became of theirs.
 */
#include "api/deliver_bulk.h"

#include "api/deliver_bulk_grpc.h"
#include "api/deliver_headers.h"
#include "api/delivery.h"
#include "api/trace.h"
#include "app/app_http.h"
#include "async/worker.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "resiliency/run.h"

#define SCOPE "dapr.runtime.processor.subscription"

/* One message of a batch. */
struct bulk_item {
    struct request rq; /* each event has a trace of its own */
    struct delivery delivery;
    struct slice entry_id;
    bool is_open; /* not settled yet */
    bool is_told; /* the last attempt said something of it */
};

struct batch {
    struct request *rq;
    struct subscription *subscription;
    struct bulk_item *items;
    size_t count;
    struct slice path; /* of those on their way now */
    bool is_refused;   /* nobody there wants it: dropped without a letter */
};

/* --- statuses ----------------------------------------------------------------------------------*/

static void
read_status(struct arena *arena, struct json *json, bulk_status_fn *take, void *arg)
{
    struct slice name, raw, id = { 0 }, status = { 0 };
    if (json_peek(json) != JSON_OBJECT) {
        (void)json_skip(json, &raw); /* the cursor remembers a failure */
        return;
    }
    json_enter(json);
    while (json_object_next(json, arena, &name)) {
        bool is_text = json_peek(json) == JSON_STRING;
        if (is_text && slice_eq_nocase(name, SLICE("entryId")))
            (void)json_string(json, arena, &id);
        else if (is_text && slice_eq_nocase(name, SLICE("status")))
            (void)json_string(json, arena, &status);
        else
            (void)json_skip(json, &raw);
    }
    if (!json->failed && id.data != NULL && status.len > 0)
        take(arg, id, status);
}

bool
bulk_statuses_read(struct arena *arena, struct slice body, bulk_status_fn *take, void *arg)
{
    struct json json;
    struct slice name, raw;
    if (!json_is_valid(slice_trim(body)))
        return false;
    json_init(&json, body);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    json_enter(&json);
    while (json_object_next(&json, arena, &name)) {
        if (!slice_eq_nocase(name, SLICE("statuses")) || json_peek(&json) != JSON_ARRAY) {
            (void)json_skip(&json, &raw);
            continue;
        }
        json_enter(&json);
        while (json_array_next(&json))
            read_status(arena, &json, take, arg);
    }
    return true;
}

static bool
is_on_its_way(const struct batch *batch, const struct bulk_item *item)
{
    return item->is_open && slice_eq(item->delivery.path, batch->path);
}

/* Statuses of entries that were not asked about, or a second one, say nothing. Applications answer
 * in the order of the entries, so each is looked for behind the one before; a map is made for those
 * that do not. */
struct telling {
    struct batch *batch;
    size_t next;
    struct map by_entry; /* empty until it is needed */
};

static struct bulk_item *
find_entry(struct telling *telling, struct slice entry_id)
{
    struct batch *batch = telling->batch;
    if (telling->next < batch->count && slice_eq(batch->items[telling->next].entry_id, entry_id))
        return &batch->items[telling->next];
    if (telling->by_entry.count == 0)
        for (size_t i = batch->count; i-- > 0;) /* of equal ones the first stays */
            (void)map_put(&telling->by_entry, batch->items[i].entry_id, &batch->items[i]);
    return map_get(&telling->by_entry, entry_id);
}

static void
take_status(void *arg, struct slice entry_id, struct slice status)
{
    struct telling *telling = arg;
    struct bulk_item *item = find_entry(telling, entry_id);
    if (item == NULL)
        return;
    telling->next = (size_t)(item - telling->batch->items) + 1;
    if (!is_on_its_way(telling->batch, item) || item->is_told)
        return;
    item->is_told = true;
    item->delivery.verdict = delivery_verdict_of(status, item->delivery.id);
}

/* --- over HTTP ---------------------------------------------------------------------------------*/

static void
put(struct request *rq, struct arena_bytes *out, const char *text)
{
    arena_append(rq->arena, out, slice_str(text));
}

static void
put_string(struct request *rq, struct arena_bytes *out, struct slice text)
{
    arena_append(rq->arena, out, cloudevent_quote(rq->arena, text));
}

static void
put_entry(struct request *rq, struct arena_bytes *out, const struct bulk_item *item)
{
    const struct pubsub_message *message = item->delivery.message;
    bool is_raw = item->delivery.subscription->spec->is_raw;
    put(rq, out, "{\"entryId\":");
    put_string(rq, out, item->entry_id);
    put(rq, out, ",\"event\":");
    if (is_raw) {
        size_t room = base64_encoded_len(message->data.len);
        char *text = arena_alloc(rq->arena, room + 1);
        base64_encode(message->data, text);
        put_string(rq, out, slice_of(text, room));
    } else {
        arena_append(rq->arena, out, item->delivery.envelope);
    }
    put(rq, out, message->metadata_count > 0 ? ",\"metadata\":" : ",\"metadata\":null");
    for (size_t i = 0; i < message->metadata_count; i++) {
        put(rq, out, i > 0 ? "," : "{");
        put_string(rq, out, message->metadata[i].name);
        put(rq, out, ":");
        put_string(rq, out, message->metadata[i].value);
    }
    put(rq, out, message->metadata_count > 0 ? "},\"contentType\":" : ",\"contentType\":");
    put(rq, out, is_raw ? "\"application/octet-stream\"}" : "\"application/cloudevents+json\"}");
}

static struct slice
write_envelope(const struct batch *batch)
{
    struct request *rq = batch->rq;
    const struct topic_spec *spec = batch->subscription->spec;
    struct arena_bytes out = { 0 };
    bool is_first = true;
    put(rq, &out, "{\"entries\":[");
    for (size_t i = 0; i < batch->count; i++) {
        if (!is_on_its_way(batch, &batch->items[i]))
            continue;
        if (!is_first)
            put(rq, &out, ",");
        is_first = false;
        put_entry(rq, &out, &batch->items[i]);
    }
    put(rq, &out, "],\"id\":");
    put_string(rq, &out, cloudevent_uuid(rq->arena));
    put(rq, &out, ",\"metadata\":{\"pubsubName\":");
    put_string(rq, &out, spec->pubsub);
    put(rq, &out, "},\"pubsubname\":");
    put_string(rq, &out, spec->pubsub);
    put(rq, &out, ",\"topic\":");
    put_string(rq, &out, spec->topic);
    put(rq, &out, ",\"type\":\"com.dapr.event.sent.bulk\"}");
    return arena_bytes_slice(&out);
}

/* The trace of the first event stands for all; NULL: there is none. */
static struct bulk_item *
first_of(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (is_on_its_way(batch, &batch->items[i]))
            return &batch->items[i];
    return NULL;
}

static void
set_all(struct batch *batch, enum verdict verdict)
{
    for (size_t i = 0; i < batch->count; i++)
        if (is_on_its_way(batch, &batch->items[i]))
            batch->items[i].delivery.verdict = verdict;
}

static err_t
to_http(struct batch *batch, struct attempt *attempt)
{
    struct request *rq = batch->rq;
    struct http_header headers[2 + TRACE_HEADERS_MAX];
    struct slice body = SLICE_EMPTY, envelope = write_envelope(batch);
    struct telling telling = { .batch = batch };
    size_t count = 0;
    int status = 0;
    headers[count++] = (struct http_header){ SLICE("Content-Type"), SLICE("application/json") };
    headers[count++] = (struct http_header){ SLICE("pubsubname"),
                                             batch->subscription->spec->pubsub };
    struct bulk_item *first = first_of(batch);
    if (first != NULL && deliver_has_trace(&first->delivery.event))
        count += trace_http_headers(&first->rq, headers + count);
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = deliver_target(rq->arena, batch->path),
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = (int64_t)envelope.len };
    err_t err = app_http_ask(rq->task, &kernel_worker_of(rq->task)->app, &head, envelope,
                             LIMIT_topic_bulk_answer_bytes, &status, &body); /* suspends */
    if (err != OK)
        return err;
    if (status >= 200 && status < 300) {
        (void)bulk_statuses_read(rq->arena, body, take_status, &telling); /* else none is told */
        map_fini(&telling.by_entry);
        return OK;
    }
    if (status == 404) {
        log_error(SCOPE, "Non-retriable error returned from app while processing bulk pub/sub "
                         "event. status code returned: 404");
        batch->is_refused = true;
        return OK;
    }
    log_warn(
        SCOPE,
        "Retriable error returned from app while processing bulk pub/sub event, topic: " SLICE_FMT
        ". status code returned: %d",
        SLICE_ARG(batch->subscription->spec->topic), status);
    if (status >= 400) {
        attempt->answer = ANSWER_HTTP;
        attempt->code = status;
    }
    return OK;
}

/* --- over gRPC ---------------------------------------------------------------------------------*/

static err_t
to_grpc(struct batch *batch, struct attempt *attempt)
{
    struct request *rq = batch->rq;
    struct bulk_event *events = ARENA_ARRAY(rq->arena, struct bulk_event, batch->count);
    struct telling telling = { .batch = batch };
    enum grpc_code code = GRPC_OK;
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct bulk_item *item = &batch->items[i];
        const struct pubsub_message *message = item->delivery.message;
        if (!is_on_its_way(batch, item))
            continue;
        events[count++] = (struct bulk_event){ .entry_id = item->entry_id,
                                               .event = &item->delivery.event,
                                               .raw = item->delivery.subscription->spec->is_raw
                                                          ? message->data
                                                          : (struct slice){ 0 },
                                               .metadata = message->metadata,
                                               .metadata_count = message->metadata_count };
    }
    struct bulk_item *first = first_of(batch);
    err_t err = deliver_bulk_grpc(first != NULL ? &first->rq : rq, batch->subscription->spec,
                                  batch->path, events, count, take_status, &telling,
                                  &code); /* suspends */
    map_fini(&telling.by_entry);
    if (err != OK)
        return err;
    batch->is_refused = code == GRPC_UNIMPLEMENTED;
    if (code != GRPC_OK && !batch->is_refused) {
        attempt->answer = ANSWER_GRPC;
        attempt->code = (int)code;
    }
    return OK;
}

/* --- a batch -----------------------------------------------------------------------------------*/

static err_t
to_app(struct batch *batch, struct attempt *attempt)
{
    struct task *t = batch->rq->task;
    struct app *app = kernel_worker_of(t)->app.app;
    if (app == NULL || app_settings(app)->port == 0)
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "app channel is not initialized");
    return app_is_grpc(app_settings(app)->protocol) ? to_grpc(batch, attempt)  /* suspends */
                                                    : to_http(batch, attempt); /* suspends */
}

/* What is settled stays out of the next attempt, which is there as long as one message wants it. */
static err_t
try_once(struct task *t, void *arg, struct attempt *attempt)
{
    struct batch *batch = arg;
    bool wants_more = false;
    (void)t;
    set_all(batch, VERDICT_RETRY);
    for (size_t i = 0; i < batch->count; i++)
        batch->items[i].is_told = false;
    err_t err = to_app(batch, attempt); /* suspends */
    if (err != OK)
        return err;
    if (batch->is_refused)
        return OK;
    for (size_t i = 0; i < batch->count; i++) {
        struct bulk_item *item = &batch->items[i];
        if (!is_on_its_way(batch, item))
            continue;
        item->is_open = item->delivery.verdict == VERDICT_RETRY;
        wants_more |= item->is_open;
    }
    return wants_more && attempt->answer == ANSWER_NONE ? ERR_PEER_FAILED : OK;
}

/* All with one path, from the attempt to what becomes of each. */
static void
deliver_path(struct batch *batch, struct slice path, uint64_t started_ns, enum verdict *verdicts)
{
    struct request *rq = batch->rq;
    bool *is_of_path = ARENA_ARRAY(rq->arena, bool, batch->count);
    batch->path = path;
    batch->is_refused = false;
    for (size_t i = 0; i < batch->count; i++)
        is_of_path[i] = is_on_its_way(batch, &batch->items[i]);
    err_t err = delivery_run(rq, batch->subscription, try_once, batch); /* suspends */
    for (size_t i = 0; i < batch->count; i++) {
        struct bulk_item *item = &batch->items[i];
        if (!is_of_path[i])
            continue;
        bool is_settled = item->delivery.verdict != VERDICT_RETRY;
        item->is_open = false;
        verdicts[i] = VERDICT_DROP;
        if (batch->is_refused && !is_settled)
            delivery_count(&item->delivery, "drop", "drop", clock_now_ns() - started_ns);
        else
            verdicts[i] = delivery_settle(&item->delivery, is_settled ? OK : err,
                                          started_ns); /* suspends */
    }
}

static void
deliver_batch(struct request *rq, struct subscription *subscription,
              const struct pubsub_message *const *messages, size_t count, enum verdict *verdicts)
{
    uint64_t started_ns = clock_now_ns();
    struct batch batch = { .rq = rq, .subscription = subscription, .count = count };
    batch.items = ARENA_ARRAY(rq->arena, struct bulk_item, count);
    for (size_t i = 0; i < count; i++) {
        struct bulk_item *item = &batch.items[i];
        *item = (struct bulk_item){ .rq = *rq, .entry_id = cloudevent_uuid(rq->arena) };
        item->delivery = (struct delivery){
            .rq = &item->rq, .subscription = subscription, .message = messages[i], .was_seen = true
        };
        item->is_open = delivery_prepare(&item->delivery, started_ns, &verdicts[i]); /* suspends */
    }
    for (size_t i = 0; i < count; i++)
        if (batch.items[i].is_open)
            deliver_path(&batch, batch.items[i].delivery.path, started_ns, verdicts); /* suspends */
}

/* --- gathering ---------------------------------------------------------------------------------*/

/* A batch that is being filled; on the stack of the task that leads it. */
struct gather {
    struct subscription *subscription;
    struct list followers;
    size_t count; /* the leader's message included */
    struct wait full;
    struct timer timer;
    struct timer_heap *timers;
    uint64_t until_ms;
    bool is_over; /* the leader has been told */
};

/* Another message of it; on the stack of a task that waits. */
struct follower {
    struct list link;
    const struct pubsub_message *message;
    enum verdict verdict;
    struct wait wait;
};

static void
finish(struct gather *gather)
{
    if (gather->is_over)
        return;
    gather->is_over = true;
    wait_done(&gather->full, OK);
}

static void
look_again(struct gather *gather, uint64_t now_ms)
{
    uint64_t next_ms = now_ms + LIMIT_topic_gather_look_ms;
    timer_set(gather->timers, &gather->timer,
              next_ms < gather->until_ms ? next_ms : gather->until_ms);
}

/* A subscription that closes waits for its messages, and nothing fills the batch any more. */
static void
on_time(struct timer *timer)
{
    struct gather *gather = container_of(timer, struct gather, timer);
    uint64_t now_ms = clock_now_ms();
    if (now_ms >= gather->until_ms ||
        atomic_load_explicit(&gather->subscription->is_closing, memory_order_relaxed))
        finish(gather);
    else
        look_again(gather, now_ms);
}

/* The leader uses its message until it says so: nothing else ends the wait. */
static enum verdict
follow(struct request *rq, struct subscription *subscription, const struct pubsub_message *message)
{
    struct gather *gather = subscription->gather;
    struct follower follower = { .message = message, .verdict = VERDICT_RETRY };
    wait_init(&follower.wait, rq->task, NULL);
    list_init(&follower.link);
    list_append(&gather->followers, &follower.link);
    if (++gather->count >= subscription_batch_max(subscription->spec, true)) {
        subscription->gather = NULL; /* the next one begins another */
        finish(gather);
    }
    err_t err = TASK_WAIT_OUT(rq->task, &follower.wait); /* suspends */
    return err == OK ? follower.verdict : VERDICT_RETRY;
}

/* False: the sidecar ends, or the plugin has gone. */
static bool
fill(struct request *rq, struct subscription *subscription, struct gather *gather)
{
    uint64_t now_ms = clock_now_ms();
    gather->timers = &task_worker(rq->task)->timers;
    gather->until_ms = now_ms + subscription->spec->bulk_await_ms;
    wait_init(&gather->full, rq->task, NULL);
    timer_init(&gather->timer, on_time);
    look_again(gather, now_ms);
    subscription->gather = gather;
    err_t err = TASK_WAIT(rq->task, &gather->full); /* suspends */
    timer_stop(gather->timers, &gather->timer);
    if (subscription->gather == gather)
        subscription->gather = NULL;
    gather->is_over = true;
    return err == OK;
}

static enum verdict
lead(struct request *rq, struct subscription *subscription, const struct pubsub_message *message)
{
    struct gather gather = { .subscription = subscription, .count = 1 };
    list_init(&gather.followers);
    bool is_filled = subscription_batch_max(subscription->spec, true) <= 1 ||
                     fill(rq, subscription, &gather); /* suspends */
    const struct pubsub_message **messages = ARENA_ARRAY(rq->arena, const struct pubsub_message *,
                                                         gather.count);
    enum verdict *verdicts = ARENA_ARRAY(rq->arena, enum verdict, gather.count);
    size_t count = 0;
    messages[count++] = message;
    for (struct list *at = gather.followers.next; at != &gather.followers; at = at->next)
        messages[count++] = container_of(at, struct follower, link)->message;
    for (size_t i = 0; i < count; i++)
        verdicts[i] = VERDICT_RETRY;
    if (is_filled)
        deliver_batch(rq, subscription, messages, count, verdicts); /* suspends */
    for (size_t i = 1; i < count; i++) {
        struct follower *follower = container_of(gather.followers.next, struct follower, link);
        list_remove(&follower->link);
        follower->verdict = verdicts[i];
        wait_done(&follower->wait, OK); /* its memory may be gone now */
    }
    return verdicts[0];
}

void
deliver_bulk(struct request *rq, struct subscription *subscription,
             const struct pubsub_message *messages, size_t count, enum verdict *verdicts)
{
    if (count == 1 && subscription->gathers) {
        verdicts[0] = subscription->gather != NULL
                          ? follow(rq, subscription, messages) /* suspends */
                          : lead(rq, subscription, messages);  /* suspends */
        return;
    }
    const struct pubsub_message **list = ARENA_ARRAY(rq->arena, const struct pubsub_message *,
                                                     count);
    for (size_t i = 0; i < count; i++)
        list[i] = &messages[i];
    deliver_batch(rq, subscription, list, count, verdicts); /* suspends */
}
