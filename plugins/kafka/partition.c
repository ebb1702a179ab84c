/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partition's records on their way to the sidecar, in order. As many are out as `concurrency`
 * says, mostly one: what comes behind a record that was refused waits with it. Its offset is stored
 * when all before it are done. Only what can be handed over is taken out of librdkafka's queue;
 * the rest waits there, where it is bounded, or with the server.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"

enum {
    AHEAD_BYTES = 1024 * 1024, /* of a partition in our hands; one record may be larger */
    DONE_MAX = 1000,           /* that wait for one before them */
};

/* Records on their way to the sidecar in one call. */
struct parcel {
    struct partition *partition;
    struct intake *intake; /* not followed once the partition has no broker */
    size_t count;
    struct record *records[];
};

static void
free_records(struct partition *partition)
{
    while (partition->first != NULL) {
        struct record *record = partition->first;
        partition->first = record->next;
        if (record->event != NULL)
            rd_kafka_event_destroy(record->event);
        avro_schema_unref(record->schema);
        free(record);
    }
    partition->last = &partition->first;
}

static void
partition_free(struct partition *partition)
{
    struct partition **at = partition->broker == NULL ? NULL : &partition->broker->gone;
    while (at != NULL && *at != NULL && *at != partition)
        at = &(*at)->next;
    if (at != NULL && *at == partition)
        *at = partition->next;
    free_records(partition);
    free(partition->topic);
    free(partition);
}

/* --- taking ------------------------------------------------------------------------------------*/

void
partition_take(struct partition *partition, rd_kafka_event_t *event,
               const rd_kafka_message_t *message)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        abort();
    *record = (struct record){ .event = event,
                               .message = message,
                               .offset = message->offset,
                               .bytes = sizeof *record + message->len + message->key_len };
    *partition->last = record;
    partition->last = &record->next;
    partition->count++;
    partition->bytes += record->bytes;
}

static size_t
depth_of(const struct partition *partition, const struct intake *intake)
{
    size_t concurrency = (size_t)partition->broker->settings.concurrency;
    return concurrency > intake->out_max / intake->batch_max ? intake->out_max
                                                             : concurrency * intake->batch_max;
}

/* Whoever fills the queue is told when it has become half of what it was. */
static void
nudge(struct partition *partition)
{
    size_t length = rd_kafka_queue_length(partition->queue);
    if (length > partition->fetched_most)
        partition->fetched_most = length;
    if (partition->fetched_most == 0 || length > partition->fetched_most / 2)
        return;
    partition->fetched_most = length;
    client_nudge(&partition->broker->consumer);
}

static void
fill(struct partition *partition, const struct intake *intake)
{
    struct client *consumer = &partition->broker->consumer;
    size_t depth = depth_of(partition, intake);
    bool is_any = false;
    while (partition->count < depth && partition->done < DONE_MAX &&
           (partition->count == 0 || partition->bytes < AHEAD_BYTES)) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(partition->queue, 0);
        if (event == NULL)
            break;
        const rd_kafka_message_t *message = rd_kafka_event_message_next(event);
        if (message == NULL || message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            client_tell(consumer, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
            rd_kafka_event_destroy(event);
            continue;
        }
        is_any = true;
        partition_take(partition, event, message);
    }
    if (!is_any)
        return;
    client_is_well(consumer);
    nudge(partition);
}

/* For one more that is with the sidecar. */
static bool
has_room(const struct broker *broker, const struct intake *intake)
{
    return broker->is_binding ? broker->events < broker->events_max : intake->out < intake->out_max;
}

/* --- what comes back ---------------------------------------------------------------------------*/

static void
set_done(struct partition *partition, struct record *record)
{
    record->state = RECORD_DONE;
    rd_kafka_event_destroy(record->event);
    avro_schema_unref(record->schema);
    record->event = NULL;
    record->message = NULL;
    record->schema = NULL;
    partition->count--;
    partition->bytes -= record->bytes;
    partition->done++;
}

/* What is done at the front goes, and its offset is what the group has done. */
static void
retire(struct partition *partition)
{
    struct record *record;
    int64_t offset = -1;
    while ((record = partition->first) != NULL && record->state == RECORD_DONE) {
        offset = record->offset;
        partition->first = record->next;
        if (partition->first == NULL)
            partition->last = &partition->first;
        partition->done--;
        free(record);
    }
    if (offset >= 0 && !partition->is_gone)
        (void)rd_kafka_offset_store(partition->handle, partition->number,
                                    offset); /* fails if it was taken away just now */
}

static void
wait_before_retry(struct partition *partition)
{
    const struct settings *settings = &partition->broker->settings;
    int64_t ms = partition->retry_ms;
    if (ev_is_active(&partition->retry))
        return;
    if (ms == 0 || !settings->retry_grows)
        ms = settings->retry_ms;
    else
        ms += ms / 2;
    partition->retry_ms = ms > settings->retry_max_ms && settings->retry_grows
                              ? settings->retry_max_ms
                              : ms;
    ev_timer_set(&partition->retry, (double)partition->retry_ms / 1e3, 0.0);
    ev_timer_start(remora_loop(), &partition->retry);
}

/* `why`: in words, where it is not the application's doing; else empty. */
static void
refused(struct partition *partition, struct record *record, const char *why)
{
    const struct settings *settings = &partition->broker->settings;
    bool is_over = !settings->is_retried || (settings->retries_max != RETRY_FOR_EVER &&
                                             record->tries > settings->retries_max);
    enum remora_level level = record->tries == 1 ? REMORA_WARN : REMORA_DEBUG;
    if (is_over) {
        remora_log(REMORA_ERROR, "%s Kafka message: %s/%" PRId32 "/%" PRId64 "%s%s",
                   settings->is_retried ? "Too many failed attempts at processing"
                                        : "Error processing",
                   partition->topic, partition->number, record->offset,
                   why[0] == '\0' ? "" : ". Error: ", why);
        set_done(partition, record);
        return;
    }
    remora_log(level, "Error processing Kafka message: %s/%" PRId32 "/%" PRId64 "%s%s. Retrying...",
               partition->topic, partition->number, record->offset,
               why[0] == '\0' ? "" : ". Error: ", why);
    record->state = RECORD_QUEUED;
}

static void
settle_record(struct partition *partition, struct record *record, enum remora_verdict verdict)
{
    if (verdict == REMORA_DONE) {
        if (record->tries > 1)
            remora_log(REMORA_INFO,
                       "Successfully processed Kafka message after it previously failed: "
                       "%s/%" PRId32 "/%" PRId64,
                       partition->topic, partition->number, record->offset);
        set_done(partition, record);
        partition->retry_ms = 0;
        return;
    }
    /* Of one that will not be delivered here again nothing is said: another member gets it. */
    if (partition->is_gone || partition->is_revoked || partition->broker->is_quiet) {
        record->state = RECORD_QUEUED;
        return;
    }
    refused(partition, record, "");
    if (record->state == RECORD_QUEUED)
        wait_before_retry(partition);
}

void
partition_refuse(struct partition *partition, struct record *record, const char *why)
{
    record->tries++;
    refused(partition, record, why);
    if (record->state == RECORD_QUEUED) {
        wait_before_retry(partition);
        return;
    }
    retire(partition);
    ev_timer_stop(remora_loop(), &partition->retry);
    ev_timer_set(&partition->retry, 0.0, 0.0); /* in the loop's next turn, however many there are */
    ev_timer_start(remora_loop(), &partition->retry);
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct parcel *parcel = arg;
    struct partition *partition = parcel->partition;
    struct broker *broker = partition->broker;
    partition->out -= parcel->count;
    if (broker == NULL) { /* it is closed */
        free(parcel);
        if (partition->out == 0)
            partition_free(partition);
        return;
    }
    bool was_full = !has_room(broker, parcel->intake);
    parcel->intake->out -= parcel->count;
    broker->events -= broker->is_binding;
    for (size_t i = 0; i < parcel->count; i++)
        settle_record(partition, parcel->records[i], i < count ? verdicts[i] : REMORA_RETRY);
    free(parcel);
    retire(partition);
    if (!partition->is_gone)
        partition_pump(partition);
    else if (partition->out == 0)
        partition_free(partition);
    if (was_full)
        ev_feed_event(remora_loop(), &broker->consumer.watcher, EV_READ); /* others have waited */
    group_settle(broker);
}

/* What the application answered beyond that is nothing to a topic. */
static void
on_event_done(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
              size_t metadata_count, void *arg)
{
    enum remora_verdict verdict = is_handled ? REMORA_DONE : REMORA_RETRY;
    (void)data, (void)metadata, (void)metadata_count;
    on_delivered(&verdict, 1, arg);
}

/* --- handing over ------------------------------------------------------------------------------*/

/* `null` is what the reference gives for a record without a value. */
static struct remora_slice
data_of(const struct record *record)
{
    const rd_kafka_message_t *message = record->message;
    if (message->payload == NULL)
        return (struct remora_slice){ "null", 4 };
    if (record->json.data != NULL)
        return (struct remora_slice){ record->json.data, record->json.len };
    return (struct remora_slice){ message->payload, message->len };
}

static void
hand_over_event(struct broker *broker, const struct intake *intake,
                const struct remora_message *message, struct parcel *parcel)
{
    const struct remora_event event = { .data = message->data,
                                        .metadata = message->metadata,
                                        .metadata_count = message->metadata_count };
    broker->events++;
    remora_binding_event(intake->id, &event, on_event_done, parcel);
}

static void
send_parcel(struct partition *partition, struct intake *intake, struct record *from, size_t count)
{
    struct parcel *parcel = malloc(sizeof *parcel + count * sizeof(struct record *));
    struct remora_message *messages = calloc(count + 1, sizeof *messages);
    struct header_pairs *pairs = calloc(count + 1, sizeof *pairs);
    if (parcel == NULL || messages == NULL || pairs == NULL)
        abort();
    *parcel = (struct parcel){ .partition = partition, .intake = intake, .count = count };
    for (size_t i = 0; i < count; i++, from = from->next) {
        header_pairs_init(&pairs[i], &partition->broker->settings, from->message);
        messages[i] = (struct remora_message){ .data = data_of(from),
                                               .metadata = pairs[i].pairs,
                                               .metadata_count = pairs[i].count };
        from->state = RECORD_OUT;
        from->tries++;
        parcel->records[i] = from;
    }
    partition->out += count;
    intake->out += count;
    struct record *const *records = parcel->records; /* it comes back later, never at once */
    if (partition->broker->is_binding)
        hand_over_event(partition->broker, intake, messages, parcel);
    else
        remora_deliver(intake->id, messages, count, on_delivered, parcel);
    for (size_t i = 0; i < count; i++) {
        header_pairs_fini(&pairs[i]);
        avro_bytes_fini(&records[i]->json);
    }
    free(pairs);
    free(messages);
}

/* A batch goes when it is full, when it has waited, and when no more can come. */
static bool
is_batch_ready(const struct partition *partition, const struct intake *intake, size_t queued)
{
    return queued >= intake->batch_max || partition->is_batch_due ||
           partition->bytes >= AHEAD_BYTES || partition->count >= depth_of(partition, intake);
}

static void
await_batch(struct partition *partition, const struct intake *intake)
{
    if (ev_is_active(&partition->await))
        return;
    ev_timer_set(&partition->await, intake->batch_await_ms / 1e3, 0.0);
    ev_timer_start(remora_loop(), &partition->await);
}

/* The first record that may go, and how many go with it. */
static struct record *
next_parcel(const struct partition *partition, const struct intake *intake, size_t *ret_count)
{
    struct record *record = partition->first;
    size_t room = partition->broker->is_binding ? 1 : intake->out_max - intake->out, count = 0;
    while (record != NULL && record->state != RECORD_QUEUED)
        record = record->next;
    for (const struct record *at = record;
         at != NULL && at->state == RECORD_QUEUED && count < intake->batch_max && count < room;
         at = at->next)
        count++;
    *ret_count = count;
    return record;
}

void
partition_pump(struct partition *partition)
{
    struct broker *broker = partition->broker;
    struct intake *intake = group_intake(broker, partition->topic);
    size_t count;
    if (partition->is_revoked || broker->is_quiet || intake == NULL || intake->opening != NULL ||
        ev_is_active(&partition->retry) || partition->asking != NULL)
        return;
    /* What could be read of a batch may be less than all of it: the rest comes after it. */
    if (intake->is_avro && partition->out > 0 && broker->settings.concurrency == 1)
        return;
    fill(partition, intake);
    while (has_room(broker, intake)) {
        struct record *record = next_parcel(partition, intake, &count);
        if (record == NULL)
            return;
        if (intake->batch_max > 1 && !is_batch_ready(partition, intake, count)) {
            await_batch(partition, intake);
            return;
        }
        if (intake->is_avro && (count = values_read(partition, record, count)) == 0)
            return;
        ev_timer_stop(remora_loop(), &partition->await);
        partition->is_batch_due = false;
        send_parcel(partition, intake, record, count);
    }
}

static void
on_retry(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct partition *partition = watcher->data;
    partition->is_batch_due = true;
    partition_pump(partition);
}

static void
on_await(struct ev_loop *loop, ev_timer *watcher, int events)
{
    on_retry(loop, watcher, events);
}

/* --- the life ----------------------------------------------------------------------------------*/

struct partition *
partition_new(struct broker *broker, const char *topic, int32_t number)
{
    struct partition *partition = calloc(1, sizeof *partition);
    char *name = strdup(topic);
    if (partition == NULL || name == NULL)
        abort();
    *partition = (struct partition){
        .next = broker->partitions, .broker = broker, .topic = name, .number = number
    };
    partition->last = &partition->first;
    partition->handle = rd_kafka_topic_new(broker->consumer.rk, topic, NULL);
    ev_init(&partition->retry, on_retry);
    ev_init(&partition->await, on_await);
    partition->retry.data = partition->await.data = partition;
    /* A queue of its own: what it holds up does not hold up other partitions. */
    partition->queue = rd_kafka_queue_get_partition(broker->consumer.rk, topic, number);
    if (partition->queue == NULL || partition->handle == NULL)
        abort();
    rd_kafka_queue_forward(partition->queue, NULL);
    client_watch(&broker->consumer, partition->queue);
    broker->partitions = partition;
    return partition;
}

void
partition_revoke(struct partition *partition)
{
    partition->is_revoked = true;
    values_forget(partition);
    ev_timer_stop(remora_loop(), &partition->retry);
    ev_timer_stop(remora_loop(), &partition->await);
}

void
partition_forget(struct partition *partition)
{
    partition_revoke(partition);
    partition->is_gone = true;
    rd_kafka_queue_io_event_enable(partition->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(partition->queue);
    rd_kafka_topic_destroy(partition->handle);
    partition->queue = NULL;
    partition->handle = NULL;
    if (partition->out == 0) {
        partition_free(partition);
        return;
    }
    partition->next = partition->broker->gone;
    partition->broker->gone = partition;
}

void
partition_abandon(struct partition *partition)
{
    free_records(partition);
    partition->next = NULL;
    partition->broker = NULL;
}
