/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subscription: reads a little ahead of what the sidecar takes. What is read ahead is bounded in
 * messages and, as far as the sizes of the latest ones tell, in bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "broker.h"

enum {
    READ_WAITS_MS = 2000,  /* inside the server */
    READ_PAUSE_MS = 1000,  /* after it refused */
    MOVING_PAUSE_MS = 100, /* while the stream moves to another server and there is nothing new */
    READ_AHEAD_MIN = 16,   /* messages, where queueDepth allows */
    READ_AHEAD_BYTES = 256 * 1024,
    RELEASED_MAX = 64, /* identifiers in one command */
};

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
    uint64_t now_ms = monotonic_now_ms();
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
start_pause(struct intake *intake, unsigned pause_ms)
{
    ev_timer_stop(remora_loop(), &intake->pause);
    ev_timer_set(&intake->pause, pause_ms / 1e3, 0.0);
    ev_timer_start(remora_loop(), &intake->pause);
}

static void
pause_reading(struct intake *intake, struct remora_slice why)
{
    remora_log(REMORA_WARN, "redis streams: topic %s cannot be read reason=\"%.*s\"",
               intake->stream, (int)(why.len > 300 ? 300 : why.len), why.data);
    start_pause(intake, READ_PAUSE_MS);
}

/* [[stream, [entry, …]]], or nothing in time. False: it is something else. */
static bool
take_streams(struct intake *intake, const struct resp_value *value)
{
    if (value->type == RESP_NIL)
        return true;
    if (value->type != RESP_ARRAY || value->count != 1 || value->items[0].type != RESP_ARRAY ||
        value->items[0].count != 2 || value->items[0].items[1].type != RESP_ARRAY)
        return false;
    intake_take(intake, &value->items[0].items[1]);
    return true;
}

static void
take_answer(struct intake *intake, const struct resp_value *value)
{
    static const char odd[] = "it answered what was not asked";
    if (resp_is_error(value, "NOGROUP"))
        intake_lost_group(intake);
    else if (value->type == RESP_ERROR)
        pause_reading(intake, value->text);
    else if (!take_streams(intake, value))
        pause_reading(intake, (struct remora_slice){ odd, sizeof odd - 1 });
}

static void
on_read(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    const struct resp_value *value = result->value;
    intake->is_reading = false;
    intake->is_between = value != NULL && resp_is_error(value, "ASK");
    if (link_is_elsewhere(intake->broker->link, result))
        conn_restart(intake->reader, "another server has the stream");
    else if (value != NULL && !intake->is_between)
        take_answer(intake, value);
    intake_pump(intake);
}

/* The broker's link follows the stream from command to command. */
static void
on_read_between(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    intake->is_reading = intake->is_between = false;
    if (result->value != NULL)
        take_answer(intake, result->value);
    if (result->value == NULL || result->value->type == RESP_NIL)
        start_pause(intake, MOVING_PAUSE_MS);
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

static bool
read_with(struct intake *intake, const char *const *words, size_t count, conn_done *done)
{
    struct remora_slice args[BROKER_WORDS_MAX];
    broker_words(args, words, count);
    return conn_command(intake->reader, args, count, 0, done, intake);
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
    const char *const between[] = { "XREADGROUP", "GROUP",   consumer,       consumer, "COUNT",
                                    count,        "STREAMS", intake->stream, ">" };
    if (intake->is_between)
        intake->is_reading = intake_command(intake, between, sizeof between / sizeof between[0], 0,
                                            on_read_between);
    else
        intake->is_reading = read_with(intake, words, sizeof words / sizeof words[0], on_read);
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
    (void)read_with(intake, words, 2, on_reader_number);
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
    return link_connect(&intake->place, READ_WAITS_MS, &events, intake);
}

/* The numbers are the server's own. */
static bool
is_reader_there(struct intake *intake)
{
    struct link *link = intake->broker->link;
    return intake->is_reading && intake->reader_number != 0 &&
           link_is_ready(link, intake->place.slot) &&
           strcmp(conn_address(intake->reader), link_address(link, intake->place.slot)) == 0;
}

/* A read that waits ends at once, if the server lets us; else by itself. */
void
intake_stop_reading(struct intake *intake)
{
    char number[24];
    reclaim_stop(intake);
    if (!is_reader_there(intake))
        return;
    snprintf(number, sizeof number, "%" PRId64, intake->reader_number);
    const char *const words[] = { "CLIENT", "UNBLOCK", number };
    (void)intake_command(intake, words, 3, 0, NULL);
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
    struct link *link = intake->broker->link;
    bool is_replica = failure_is_replica(result);
    forget(intake);
    if (is_replica)
        link_restart(link, "the server has become a replica");
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
    bool is_sent = intake_command(intake, words, 6, wait_ms, on_group);
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
        link_is_ready(intake->broker->link, intake->place.slot))
        (void)make_group(intake, 0);
}

/* --- the life ----------------------------------------------------------------------------------*/

bool
intake_is_still(const struct intake *intake)
{
    return !intake->is_reading && intake->commands == 0 && intake->out.count == 0 &&
           intake->acknowledging.count == 0;
}

void
intake_pump(struct intake *intake)
{
    struct broker *broker = intake->broker;
    intake_hand_out(intake);
    remake_group(intake);
    reclaim_step(intake);
    if (intake->reader != NULL)
        read_more(intake);
    if (intake->closing != NULL && intake->opening == NULL && intake_is_still(intake)) {
        intake_give_back(intake);
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
    intake_forget_entries(intake);
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
                               .place = { broker->link, link_slot(broker->link, wanted->topic) },
                               .opening = call };
    broker->intakes = intake;
    init_limits(intake, wanted);
    intake->queued.last = &intake->queued.first;
    intake->out.last = &intake->out.first;
    intake->acknowledging.last = &intake->acknowledging.first;
    ev_init(&intake->pause, on_pause_over);
    ev_init(&intake->await, intake_on_await);
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
