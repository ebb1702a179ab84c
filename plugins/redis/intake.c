/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subscription: reads a little ahead of what the sidecar takes, hands over, acknowledges. What is
 * read ahead is bounded in messages and, as far as the sizes of the latest ones tell, in bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"

enum {
    READ_WAITS_MS = 2000, /* inside the server */
    READ_PAUSE_MS = 1000, /* after it refused */
    READ_AHEAD_MIN = 16,  /* messages, where queueDepth allows */
    READ_AHEAD_BYTES = 256 * 1024,
    ACKNOWLEDGE_WAITS_MS = 1000, /* for a connection; then again */
    RELEASED_MAX = 64,           /* identifiers in one command */
};

/* Messages on their way to the sidecar in one call. */
struct parcel {
    struct parcel *next, **at;
    struct intake *intake; /* NULL: it is gone */
    size_t count;
    struct entry *entries[];
};

/* --- lists -------------------------------------------------------------------------------------*/

static void
entries_add(struct entries *list, struct entry *entry)
{
    entry->next = NULL;
    entry->at = list->last;
    *list->last = entry;
    list->last = &entry->next;
    list->count++;
    list->bytes += entry->bytes;
}

static void
entries_remove(struct entries *list, struct entry *entry)
{
    *entry->at = entry->next;
    if (entry->next != NULL)
        entry->next->at = entry->at;
    else
        list->last = entry->at;
    list->count--;
    list->bytes -= entry->bytes;
}

static void
entries_free(struct entries *list)
{
    while (list->first != NULL) {
        struct entry *entry = list->first;
        entries_remove(list, entry);
        entry_free(entry);
    }
}

static bool
entries_have(const struct entries *list, struct remora_slice id)
{
    for (const struct entry *entry = list->first; entry != NULL; entry = entry->next)
        if (entry->message.id.len == id.len && memcmp(entry->message.id.data, id.data, id.len) == 0)
            return true;
    return false;
}

bool
intake_has(const struct intake *intake, struct remora_slice id)
{
    return entries_have(&intake->queued, id) || entries_have(&intake->out, id) ||
           entries_have(&intake->acknowledging, id);
}

/* --- acknowledging -----------------------------------------------------------------------------*/

static void on_acknowledged(const struct conn_result *result, void *arg);

static bool
acknowledge(struct entry *entry)
{
    struct intake *intake = entry->intake;
    const char *consumer = intake->broker->settings.consumer;
    struct remora_slice args[] = { { "XACK", 4 },
                                   { intake->stream, strlen(intake->stream) },
                                   { consumer, strlen(consumer) },
                                   entry->message.id };
    return conn_command(intake->broker->conn, args, 4, ACKNOWLEDGE_WAITS_MS, on_acknowledged,
                        entry);
}

/* It may be said twice, and is said until it is heard: what is not acknowledged comes again. */
static void
on_acknowledged(const struct conn_result *result, void *arg)
{
    struct entry *entry = arg;
    struct intake *intake = entry->intake;
    bool is_lost = result->value == NULL;
    if (is_lost && intake->closing == NULL && !intake->broker->is_quiet && acknowledge(entry))
        return;
    if (is_lost || result->value->type == RESP_ERROR)
        remora_log(REMORA_WARN, "redis streams: a message of topic %s could not be acknowledged",
                   intake->stream);
    entries_remove(&intake->acknowledging, entry);
    entry_free(entry);
    intake_pump(intake);
}

/* --- handing over ------------------------------------------------------------------------------*/

/* Whoever has been slow for so long may see another instance take the message. */
static bool
is_fresh(const struct intake *intake, const struct entry *entry)
{
    const struct broker_settings *settings = &intake->broker->settings;
    return settings->processing_timeout_ms == 0 || settings->redeliver_interval_ms == 0 ||
           broker_now_ms() - entry->read_at_ms < (uint64_t)settings->processing_timeout_ms;
}

static void
settle_entry(struct intake *intake, struct entry *entry, enum remora_verdict verdict)
{
    entries_remove(&intake->out, entry);
    if (verdict != REMORA_DONE) {
        entry_free(entry);
        return;
    }
    entries_add(&intake->acknowledging, entry);
    if (acknowledge(entry))
        return;
    entries_remove(&intake->acknowledging, entry);
    entry_free(entry);
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct parcel *parcel = arg;
    struct intake *intake = parcel->intake;
    if (intake == NULL) { /* its entries went with it */
        free(parcel);
        return;
    }
    *parcel->at = parcel->next;
    if (parcel->next != NULL)
        parcel->next->at = parcel->at;
    for (size_t i = 0; i < parcel->count; i++)
        settle_entry(intake, parcel->entries[i], i < count ? verdicts[i] : REMORA_RETRY);
    free(parcel);
    intake_pump(intake);
}

static void
send_parcel(struct intake *intake, size_t count)
{
    struct parcel *parcel = malloc(sizeof *parcel + count * sizeof(struct entry *));
    struct remora_message *messages = calloc(count, sizeof *messages);
    if (parcel == NULL || messages == NULL)
        abort();
    *parcel = (struct parcel){
        .next = intake->parcels, .at = &intake->parcels, .intake = intake, .count = count
    };
    if (parcel->next != NULL)
        parcel->next->at = &parcel->next;
    intake->parcels = parcel;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = intake->queued.first;
        entries_remove(&intake->queued, entry);
        entries_add(&intake->out, entry);
        parcel->entries[i] = entry;
        messages[i] = entry->message;
    }
    remora_deliver(intake->id, messages, count, on_delivered, parcel);
    free(messages);
}

/* Forgets the oldest ones that lay here too long: they are pending, and are claimed again. */
static void
drop_stale(struct intake *intake)
{
    struct entry *entry;
    bool is_any = false;
    while ((entry = intake->queued.first) != NULL && !is_fresh(intake, entry)) {
        entries_remove(&intake->queued, entry);
        entry_free(entry);
        is_any = true;
    }
    if (is_any && !intake_is_stopped(intake))
        reclaim_start(intake);
}

/* A batch goes when it is full, when it has waited, and when no more can come. */
static bool
is_batch_ready(const struct intake *intake)
{
    return intake->queued.count >= intake->batch_max || intake->is_batch_due ||
           intake->broker->is_quiet || intake_room(intake) == 0;
}

static void
hand_out(struct intake *intake)
{
    drop_stale(intake);
    while (intake->queued.count > 0 && intake->closing == NULL &&
           intake->out.count < intake->out_max) {
        if (!is_batch_ready(intake)) {
            if (!ev_is_active(&intake->await)) {
                ev_timer_set(&intake->await, intake->batch_await_ms / 1e3, 0.0);
                ev_timer_start(remora_loop(), &intake->await);
            }
            return;
        }
        size_t count = intake->out_max - intake->out.count;
        count = count > intake->batch_max ? intake->batch_max : count;
        count = count > intake->queued.count ? intake->queued.count : count;
        ev_timer_stop(remora_loop(), &intake->await);
        intake->is_batch_due = false;
        send_parcel(intake, count);
    }
}

static void
on_await(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct intake *intake = watcher->data;
    intake->is_batch_due = true;
    intake_pump(intake);
}

/* --- reading -----------------------------------------------------------------------------------*/

bool
intake_is_stopped(const struct intake *intake)
{
    return intake->closing != NULL || intake->broker->is_quiet;
}

size_t
intake_room(const struct intake *intake)
{
    size_t depth = (size_t)intake->broker->settings.queue_depth;
    size_t ahead = intake->out_max > READ_AHEAD_MIN ? intake->out_max : READ_AHEAD_MIN;
    ahead = ahead > depth ? depth : ahead;
    ahead = ahead < intake->batch_max ? intake->batch_max : ahead; /* or it would never be full */
    const struct entries *queued = &intake->queued;
    if (queued->count >= ahead)
        return 0;
    size_t room = ahead - queued->count;
    if (intake->largest == 0)
        return 1; /* the first one shows how large they are */
    size_t bytes = queued->bytes >= READ_AHEAD_BYTES ? 0 : READ_AHEAD_BYTES - queued->bytes;
    size_t fitting = bytes / intake->largest;
    if (fitting == 0 && queued->count == 0)
        fitting = 1;
    return room < fitting ? room : fitting;
}

/* The size to expect falls slowly and rises at once. */
static void
expect_size(struct intake *intake, size_t largest)
{
    size_t before = intake->largest / 2;
    if (largest > 0)
        intake->largest = largest > before ? largest : before;
}

void
intake_take(struct intake *intake, const struct resp_value *entries)
{
    uint64_t now_ms = broker_now_ms();
    size_t largest = 0;
    if (entries->type != RESP_ARRAY)
        return;
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *entry = entry_new(&entries->items[i]);
        if (entry == NULL)
            continue;
        entry->intake = intake;
        entry->read_at_ms = now_ms;
        largest = entry->bytes > largest ? entry->bytes : largest;
        entries_add(&intake->queued, entry);
    }
    expect_size(intake, largest);
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    intake_pump(watcher->data);
}

static void
pause_reading(struct intake *intake, struct remora_slice why)
{
    remora_log(REMORA_WARN, "redis streams: topic %s cannot be read reason=\"%.*s\"",
               intake->stream, (int)(why.len > 300 ? 300 : why.len), why.data);
    ev_timer_set(&intake->pause, READ_PAUSE_MS / 1e3, 0.0);
    ev_timer_start(remora_loop(), &intake->pause);
}

/* [[stream, [entry, …]]], or nothing in time. */
static void
on_read(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    const struct resp_value *value = result->value;
    intake->is_reading = false;
    if (value != NULL && resp_is_error(value, "NOGROUP"))
        intake_lost_group(intake);
    else if (value != NULL && value->type == RESP_ERROR)
        pause_reading(intake, value->text);
    if (value != NULL && value->type == RESP_ARRAY && value->count == 1 &&
        value->items[0].type == RESP_ARRAY && value->items[0].count == 2)
        intake_take(intake, &value->items[0].items[1]);
    bool is_replica = failure_is_replica(result);
    struct conn *reader = intake->reader;
    if (is_replica)
        conn_restart(reader, "the server has become a replica");
    intake_pump(intake);
}

/* Not for each message that goes: a read fetches several. */
static bool
may_read(const struct intake *intake, size_t room)
{
    size_t queued = intake->queued.count;
    return room > 0 && (room * 2 > queued || queued < intake->batch_max) && intake->has_group &&
           !intake->is_reading && !intake->is_reclaiming && !intake->is_asking &&
           !intake_is_stopped(intake) && !ev_is_active(&intake->pause) &&
           conn_is_ready(intake->reader);
}

static void
read_more(struct intake *intake)
{
    const char *consumer = intake->broker->settings.consumer;
    char count[24], wait[24];
    size_t room = intake_room(intake);
    if (!may_read(intake, room))
        return;
    snprintf(count, sizeof count, "%zu", room);
    snprintf(wait, sizeof wait, "%d", READ_WAITS_MS);
    const char *const words[] = { "XREADGROUP", "GROUP", consumer,  consumer,       "COUNT", count,
                                  "BLOCK",      wait,    "STREAMS", intake->stream, ">" };
    intake->is_reading = broker_command(intake->reader, words, sizeof words / sizeof words[0], 0,
                                        on_read, intake);
}

static void
on_reader_number(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    bool is_number = result->value != NULL && result->value->type == RESP_INTEGER;
    intake->reader_number = is_number ? result->value->integer : 0;
}

static void
on_reader_ready(void *owner)
{
    struct intake *intake = owner;
    const char *const words[] = { "CLIENT", "ID" };
    (void)broker_command(intake->reader, words, 2, 0, on_reader_number, intake);
    intake_pump(intake);
}

static void
on_reader_down(void *owner, const char *why, bool refused)
{
    struct intake *intake = owner; /* the broker's connection has the same trouble, and tells */
    (void)why;
    (void)refused;
    intake->reader_number = 0;
}

static struct conn *
make_reader(struct intake *intake)
{
    static const struct conn_events events = { .ready = on_reader_ready, .down = on_reader_down };
    struct conn_settings settings = server_conn_settings(&intake->broker->server);
    if (settings.read_timeout_ms >= 0)
        settings.read_timeout_ms += READ_WAITS_MS;
    return conn_new(remora_loop(), &settings, &events, intake);
}

/* A read that waits ends at once, if the server lets us; else by itself. */
void
intake_stop_reading(struct intake *intake)
{
    char number[24];
    struct conn *conn = intake->broker->conn;
    reclaim_stop(intake);
    if (!intake->is_reading || intake->reader_number == 0 || !conn_is_ready(conn))
        return;
    snprintf(number, sizeof number, "%" PRId64, intake->reader_number);
    const char *const words[] = { "CLIENT", "UNBLOCK", number };
    (void)broker_command(conn, words, 3, 0, NULL, NULL);
}

/* --- the group ---------------------------------------------------------------------------------*/

static bool make_group(struct intake *intake, uint64_t wait_ms);

static void
forget(struct intake *intake)
{
    struct intake **at = &intake->broker->intakes;
    while (*at != intake)
        at = &(*at)->next;
    *at = intake->next;
    intake_free(intake);
}

static void
open_failed(struct intake *intake, const struct conn_result *result)
{
    remora_call *call = intake->opening;
    struct remora_failure *failure = failure_of_result(call, result, false,
                                                       "redis streams: error from subscribe: ");
    intake->opening = NULL;
    remora_reply_failure(call, failure);
    if (intake->closing != NULL)
        remora_reply_ok(intake->closing);
    struct conn *conn = intake->broker->conn;
    bool is_replica = failure_is_replica(result);
    forget(intake);
    if (is_replica)
        conn_restart(conn, "the server has become a replica");
}

static void
on_group(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    const struct resp_value *value = result->value;
    intake->commands--;
    intake->has_group = value != NULL &&
                        (value->type != RESP_ERROR || resp_is_error(value, "BUSYGROUP"));
    if (!intake->has_group && intake->opening != NULL) {
        open_failed(intake, result);
        return;
    }
    if (!intake->has_group && value != NULL)
        pause_reading(intake, value->text); /* whose end makes it again */
    if (intake->opening != NULL) {
        remora_call *call = intake->opening;
        intake->opening = NULL;
        remora_reply_ok(call);
        intake->reader = make_reader(intake);
        reclaim_start(intake);
    }
    intake_pump(intake);
}

/* From the stream's beginning, as the reference does; the stream is made if it is not there. */
static bool
make_group(struct intake *intake, uint64_t wait_ms)
{
    const char *const words[] = {
        "XGROUP", "CREATE", intake->stream, intake->broker->settings.consumer, "0", "MKSTREAM"
    };
    bool is_sent = broker_command(intake->broker->conn, words, 6, wait_ms, on_group, intake);
    intake->commands += is_sent;
    return is_sent;
}

void
intake_lost_group(struct intake *intake)
{
    if (!intake->has_group)
        return;
    intake->has_group = false;
    remora_log(REMORA_WARN, "redis streams: the group of topic %s is gone, and made again",
               intake->stream);
}

static void
remake_group(struct intake *intake)
{
    if (!intake->has_group && intake->opening == NULL && intake->commands == 0 &&
        !intake_is_stopped(intake) && !ev_is_active(&intake->pause) &&
        conn_is_ready(intake->broker->conn))
        (void)make_group(intake, 0);
}

/* --- the life ----------------------------------------------------------------------------------*/

bool
intake_is_still(const struct intake *intake)
{
    return !intake->is_reading && intake->commands == 0 && intake->out.count == 0 &&
           intake->acknowledging.count == 0;
}

/* Lets others have what was read and not handed over: as if it had been pending long enough. */
static void
release_queued(struct intake *intake)
{
    const struct broker_settings *settings = &intake->broker->settings;
    struct remora_slice args[RELEASED_MAX + 8];
    char idle[24];
    snprintf(idle, sizeof idle, "%" PRId64, settings->processing_timeout_ms);
    const char *const before[] = { "XCLAIM", intake->stream, settings->consumer, settings->consumer,
                                   "0" };
    const char *const after[] = { "IDLE", idle, "JUSTID" };
    while (intake->queued.first != NULL && conn_is_ready(intake->broker->conn)) {
        struct entry *entry = intake->queued.first;
        size_t count = 0, ids = 0;
        for (size_t i = 0; i < 5; i++)
            args[count++] = (struct remora_slice){ before[i], strlen(before[i]) };
        for (; entry != NULL && ids < RELEASED_MAX; entry = entry->next, ids++)
            args[count++] = entry->message.id;
        for (size_t i = 0; i < 3; i++)
            args[count++] = (struct remora_slice){ after[i], strlen(after[i]) };
        if (!conn_command(intake->broker->conn, args, count, 0, NULL, NULL))
            return;
        for (; ids > 0; ids--) {
            entry = intake->queued.first;
            entries_remove(&intake->queued, entry);
            entry_free(entry);
        }
    }
}

void
intake_pump(struct intake *intake)
{
    struct broker *broker = intake->broker;
    hand_out(intake);
    remake_group(intake);
    reclaim_step(intake);
    if (intake->reader != NULL)
        read_more(intake);
    if (intake->closing != NULL && intake->opening == NULL && intake_is_still(intake)) {
        drop_stale(intake);
        release_queued(intake);
        remora_reply_ok(intake->closing);
        forget(intake);
    }
    broker_settle(broker);
}

void
intake_on_ready(struct intake *intake)
{
    intake_pump(intake);
}

void
intake_free(struct intake *intake)
{
    conn_free(intake->reader);
    ev_timer_stop(remora_loop(), &intake->pause);
    ev_timer_stop(remora_loop(), &intake->await);
    reclaim_stop(intake);
    while (intake->parcels != NULL) {
        struct parcel *parcel = intake->parcels;
        intake->parcels = parcel->next;
        parcel->intake = NULL;
    }
    entries_free(&intake->queued);
    entries_free(&intake->out);
    entries_free(&intake->acknowledging);
    free(intake->stream);
    free(intake);
}

static void
init_limits(struct intake *intake, const struct remora_subscription *wanted)
{
    size_t concurrency = (size_t)intake->broker->settings.concurrency;
    size_t batch = wanted->batch_messages_max > 1 ? wanted->batch_messages_max : 1;
    size_t window = wanted->window > 0 ? wanted->window : 1;
    intake->batch_max = batch > window ? window : batch;
    intake->batch_await_ms = wanted->batch_await_ms;
    intake->out_max = concurrency > window / intake->batch_max ? window
                                                               : concurrency * intake->batch_max;
}

void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted)
{
    struct broker *broker = self;
    char *stream = remora_slice_dup(wanted->topic);
    if (stream == NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the topic's name holds a NUL");
        return;
    }
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        abort();
    *intake = (struct intake){ .next = broker->intakes,
                               .broker = broker,
                               .id = wanted->id,
                               .stream = stream,
                               .opening = call };
    broker->intakes = intake;
    init_limits(intake, wanted);
    intake->queued.last = &intake->queued.first;
    intake->out.last = &intake->out.first;
    intake->acknowledging.last = &intake->acknowledging.first;
    ev_init(&intake->pause, on_pause_over);
    ev_init(&intake->await, on_await);
    intake->pause.data = intake->await.data = intake;
    if (make_group(intake, remora_call_time_left_ms(call)))
        return;
    remora_reply_failure(call, failure_busy(call));
    forget(intake);
}

void
broker_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct broker *broker = self;
    struct intake *intake = broker->intakes;
    while (intake != NULL && intake->id != id)
        intake = intake->next;
    if (intake == NULL || intake->closing != NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    intake->closing = call;
    intake_stop_reading(intake);
    intake_pump(intake);
}
