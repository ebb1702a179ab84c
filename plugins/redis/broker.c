/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a broker, and publishing. */
#include "broker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PUBLISH_FAILED "redis streams: error from publish: "

enum { XADD_ARGS_MAX = 10 };

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

void
broker_words(struct remora_slice args[BROKER_WORDS_MAX], const char *const *words, size_t count)
{
    if (count > BROKER_WORDS_MAX)
        abort();
    for (size_t i = 0; i < count; i++)
        args[i] = slice_of(words[i]);
}

bool
intake_command(struct intake *intake, const char *const *words, size_t count, uint64_t wait_ms,
               conn_done *done)
{
    struct remora_slice args[BROKER_WORDS_MAX];
    broker_words(args, words, count);
    return link_command(intake->broker->link, LINK_MAIN, intake->place.slot, args, count, wait_ms,
                        done, intake);
}

/* --- publishing --------------------------------------------------------------------------------*/

/* Of which entries go when this one comes: older than that, about. */
static void
oldest_kept(const struct broker *broker, char ret[ENTRY_ID_BYTES])
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 -
                 broker->settings.stream_ttl_ms;
    snprintf(ret, ENTRY_ID_BYTES, "%" PRId64 "-1", ms < 0 ? 0 : ms);
}

/* `metadata` NULL: the entry has no such field. */
static bool
append(struct broker *broker, remora_call *call, const struct remora_publish *message,
       const struct resp_buf *metadata, conn_done *done, void *arg)
{
    struct remora_slice args[XADD_ARGS_MAX];
    char limit[ENTRY_ID_BYTES];
    size_t count = 0;
    args[count++] = slice_of("XADD");
    args[count++] = message->topic;
    if (broker->settings.max_len > 0)
        snprintf(limit, sizeof limit, "%" PRId64, broker->settings.max_len);
    else if (broker->settings.stream_ttl_ms > 0)
        oldest_kept(broker, limit);
    if (broker->settings.max_len > 0 || broker->settings.stream_ttl_ms > 0) {
        args[count++] = slice_of(broker->settings.max_len > 0 ? "MAXLEN" : "MINID");
        args[count++] = slice_of("~");
        args[count++] = slice_of(limit);
    }
    args[count++] = slice_of("*");
    args[count++] = slice_of("data");
    args[count++] = message->data;
    if (metadata != NULL) {
        args[count++] = slice_of("metadata");
        args[count++] = (struct remora_slice){ metadata->data, metadata->len };
    }
    return link_command(broker->link, LINK_MAIN, link_slot(broker->link, message->topic), args,
                        count, remora_call_time_left_ms(call), done, arg);
}

/* A result of a write; a server that has become a replica is left. */
static struct remora_failure *
publish_failure(struct broker *broker, remora_call *call, const struct conn_result *result)
{
    struct remora_failure *failure = failure_of_result(call, result, true, PUBLISH_FAILED);
    if (failure_is_replica(result))
        link_restart(broker->link, "the server has become a replica");
    return failure;
}

struct publishing {
    struct broker *broker;
    remora_call *call;
};

static void
on_appended(const struct conn_result *result, void *arg)
{
    struct publishing *publishing = arg;
    remora_call *call = publishing->call;
    struct remora_failure *failure = publish_failure(publishing->broker, call, result);
    if (failure != NULL)
        remora_reply_failure(call, failure);
    else
        remora_reply_ok(call);
}

static void
publish(remora_call *call, void *self, const struct remora_publish *message)
{
    struct broker *broker = self;
    struct publishing *publishing = remora_call_alloc(call, sizeof *publishing);
    struct resp_buf metadata = { 0 };
    *publishing = (struct publishing){ .broker = broker, .call = call };
    entry_put_metadata(&metadata, message->metadata, message->metadata_count);
    if (!append(broker, call, message, message->has_metadata ? &metadata : NULL, on_appended,
                publishing))
        remora_reply_failure(call, failure_busy(call));
    resp_buf_fini(&metadata);
}

struct bulk {
    struct broker *broker;
    remora_call *call;
    size_t count, left;
    const struct remora_failure **failures;
};

struct bulk_item {
    struct bulk *bulk;
    size_t index;
};

static void
bulk_item_done(struct bulk *bulk, size_t index, const struct remora_failure *failure)
{
    bulk->failures[index] = failure;
    if (--bulk->left == 0)
        remora_pubsub_reply_failures(bulk->call, bulk->failures, bulk->count);
}

static void
on_bulk_appended(const struct conn_result *result, void *arg)
{
    struct bulk_item *item = arg;
    bulk_item_done(item->bulk, item->index,
                   publish_failure(item->bulk->broker, item->bulk->call, result));
}

/* The metadata of the request and, before those, of the message. */
static void
merge_metadata(remora_call *call, struct resp_buf *ret, const struct remora_publish *message,
               const struct remora_pair *metadata, size_t metadata_count)
{
    size_t count = metadata_count + message->metadata_count;
    if (count == 0)
        return;
    struct remora_pair *pairs = remora_call_alloc(call, count * sizeof *pairs);
    for (size_t i = 0; i < metadata_count; i++)
        pairs[i] = metadata[i];
    for (size_t i = 0; i < message->metadata_count; i++)
        pairs[metadata_count + i] = message->metadata[i];
    entry_put_metadata(ret, pairs, count);
}

/* Each is an entry of its own; they go out in one write. */
static void
publish_many(remora_call *call, void *self, const struct remora_publish *messages, size_t count,
             const struct remora_pair *metadata, size_t metadata_count)
{
    struct bulk *bulk = remora_call_alloc(call, sizeof *bulk);
    struct bulk_item *items = remora_call_alloc(call, count * sizeof *items + 1);
    *bulk = (struct bulk){ .broker = self, .call = call, .count = count, .left = count + 1 };
    bulk->failures = remora_call_alloc(call, (count + 1) * sizeof *bulk->failures);
    for (size_t i = 0; i < count; i++) {
        struct resp_buf merged = { 0 };
        items[i] = (struct bulk_item){ .bulk = bulk, .index = i };
        merge_metadata(call, &merged, &messages[i], metadata, metadata_count);
        if (!append(self, call, &messages[i], merged.len > 0 ? &merged : NULL, on_bulk_appended,
                    &items[i]))
            bulk_item_done(bulk, i, failure_busy(call));
        resp_buf_fini(&merged);
    }
    bulk_item_done(bulk, count, NULL); /* the one too many */
}

/* --- the life ----------------------------------------------------------------------------------*/

static void
broker_free(struct broker *broker)
{
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next) {
        conn_free(intake->reader); /* which looks for its server by the link */
        intake->reader = NULL;
    }
    link_free(broker->link); /* then: no command comes back to a subscription */
    while (broker->intakes != NULL) {
        struct intake *intake = broker->intakes;
        broker->intakes = intake->next;
        intake_free(intake);
    }
    broker_settings_fini(&broker->settings);
    server_fini(&broker->server);
    free(broker);
}

static void
init_failed(struct broker *broker, const char *why)
{
    remora_reply_error(broker->init, REMORA_UNAVAILABLE,
                       "redis streams: error connecting to redis at %s: %s",
                       broker->server.settings.shown_host, why);
    broker_free(broker);
}

static void
on_ready(void *owner)
{
    struct broker *broker = owner;
    if (broker->is_down)
        remora_log(REMORA_INFO, "redis streams: connected again host=%s",
                   broker->server.settings.shown_host);
    broker->is_down = false;
    if (broker->init != NULL) {
        remora_call *call = broker->init;
        broker->init = NULL;
        remora_reply_init(call, broker, REMORA_CAP_BULK_PUBLISH | REMORA_CAP_BULK_SUBSCRIBE, 0);
        return;
    }
    for (struct intake *intake = broker->intakes, *next; intake != NULL; intake = next) {
        next = intake->next;
        intake_on_ready(intake);
    }
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct broker *broker = owner;
    if (broker->init != NULL) {
        snprintf(broker->last_why, sizeof broker->last_why, "%s", why);
        if (refused || broker->retries_left-- <= 0)
            init_failed(broker, why);
        return;
    }
    if (!broker->is_down)
        remora_log(REMORA_WARN, "redis streams: no connection, trying on host=%s reason=\"%s\"",
                   broker->server.settings.shown_host, why);
    broker->is_down = true;
}

/* The sidecar waits no longer. A broker that came up later would be nobody's. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct broker *broker = arg;
    char why[CONN_WHY_BYTES];
    (void)call;
    snprintf(why, sizeof why, "%s",
             broker->last_why[0] != '\0' ? broker->last_why : "context deadline exceeded");
    init_failed(broker, why);
}

void
redis_broker_init(remora_call *call, const struct remora_config *config)
{
    static const struct link_events events = { .ready = on_ready, .down = on_down };
    char why[SETTINGS_WHY_BYTES];
    struct broker *broker = calloc(1, sizeof *broker);
    if (broker == NULL)
        abort();
    if (!broker_settings_parse(config, &broker->settings, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(broker);
        return;
    }
    if (!server_init(&broker->server, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        broker_settings_fini(&broker->settings);
        free(broker);
        return;
    }
    broker->init = call;
    broker->retries_left = broker->server.settings.max_retries;
    broker->link = server_connect(&broker->server, 0, &events, broker);
    remora_call_on_cancel(call, on_init_cancelled,
                          broker); /* which may be at once: nothing follows */
}

void
broker_settle(struct broker *broker)
{
    remora_call *call = broker->quiescing;
    if (call == NULL)
        return;
    for (const struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        if (intake->queued.count > 0 || !intake_is_still(intake))
            return;
    broker->quiescing = NULL;
    remora_reply_ok(call);
}

/* What has been read is still handed over, so that the next generation need not wait for it. */
void
redis_broker_quiesce(remora_call *call, void *self)
{
    struct broker *broker = self;
    broker->is_quiet = true;
    for (struct intake *intake = broker->intakes, *next; intake != NULL; intake = next) {
        next = intake->next;
        intake_stop_reading(intake);
        intake_pump(intake);
    }
    broker->quiescing = call;
    broker_settle(broker);
}

void
redis_broker_close(void *self)
{
    broker_free(self);
}

const struct remora_pubsub_ops redis_broker_ops = { .publish = publish,
                                                    .publish_many = publish_many,
                                                    .subscribe = broker_subscribe,
                                                    .unsubscribe = broker_unsubscribe };
