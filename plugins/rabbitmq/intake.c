/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions on the plugin's thread: handing over, settling, ending. */
#include "intake.h"

#include "broker.h"

/* --- lists -------------------------------------------------------------------------------------*/

void
deliveries_init(struct deliveries *list)
{
    *list = (struct deliveries){ .last = &list->first };
}

void
deliveries_add(struct deliveries *list, struct delivery *delivery)
{
    delivery->next = NULL;
    delivery->at = list->last;
    *list->last = delivery;
    list->last = &delivery->next;
    list->count++;
}

void
deliveries_remove(struct deliveries *list, struct delivery *delivery)
{
    *delivery->at = delivery->next;
    if (delivery->next != NULL)
        delivery->next->at = delivery->at;
    else
        list->last = delivery->at;
    list->count--;
}

static void
deliveries_free(struct deliveries *list)
{
    while (list->first != NULL) {
        struct delivery *delivery = list->first;
        deliveries_remove(list, delivery);
        delivery_free(delivery);
    }
}

/* --- settling ----------------------------------------------------------------------------------*/

static void hand_out(struct intake *intake);
static void go_on_stopping(struct intake *intake);

static void
say(const struct intake *intake, enum consumer_verb verb, const struct delivery *delivery)
{
    consumer_say(intake->broker->consumer, verb, delivery->intake, &delivery->envelope);
}

static void
watch_delayed(struct intake *intake)
{
    uint64_t due = UINT64_MAX, now = now_ms();
    const struct deliveries *const lists[] = { &intake->delayed, &intake->refused };
    ev_timer_stop(remora_loop(), &intake->delay);
    for (size_t i = 0; i < 2; i++)
        if (lists[i]->first != NULL && lists[i]->first->due_ms < due)
            due = lists[i]->first->due_ms;
    if (due == UINT64_MAX)
        return;
    ev_timer_set(&intake->delay, due <= now ? 0 : (double)(due - now) / 1e3, 0.0);
    ev_timer_start(remora_loop(), &intake->delay);
}

static void
put_off(struct intake *intake, struct deliveries *list, struct delivery *delivery, uint64_t wait_ms)
{
    delivery->due_ms = now_ms() + wait_ms;
    deliveries_add(list, delivery);
    if (list->count == 1)
        watch_delayed(intake);
}

/* Those whose time has come, or all. */
static void
settle_delayed(struct intake *intake, struct deliveries *list, enum consumer_verb verb, bool is_all)
{
    uint64_t now = now_ms();
    struct delivery *delivery;
    while ((delivery = list->first) != NULL && (is_all || delivery->due_ms <= now)) {
        deliveries_remove(list, delivery);
        say(intake, verb, delivery);
        delivery_free(delivery);
    }
}

static void
on_delay_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct intake *intake = timer->data;
    settle_delayed(intake, &intake->delayed, CONSUMER_REQUEUE, false);
    settle_delayed(intake, &intake->refused, CONSUMER_REJECT, false);
    watch_delayed(intake);
}

/* The server delivers again at once what it gets back: not in circles at full speed. And what is
 * refused because we are about to end, as we shall be told in a moment, is for the next process. */
static void
settle_refused(struct intake *intake, struct delivery *delivery)
{
    bool is_requeued = intake->broker->settings.requeue_in_failure;
    if (!intake->is_stopping && !is_requeued) {
        put_off(intake, &intake->refused, delivery, REJECT_DELAY_MS);
        return;
    }
    if (!intake->is_stopping && delivery->envelope.is_redelivered) {
        put_off(intake, &intake->delayed, delivery, REQUEUE_DELAY_MS);
        return;
    }
    say(intake, CONSUMER_REQUEUE, delivery);
    delivery_free(delivery);
}

static void
settle(struct intake *intake, struct delivery *delivery, enum remora_verdict verdict)
{
    bool is_settled = intake->broker->settings.auto_ack;
    if (!is_settled && verdict != REMORA_DONE) {
        settle_refused(intake, delivery);
        return;
    }
    if (!is_settled)
        say(intake, CONSUMER_ACK, delivery);
    delivery_free(delivery);
}

static void
delivered(struct delivery *delivery, enum remora_verdict verdict)
{
    struct intake *intake = delivery->intake;
    if (intake == NULL) {
        delivery_free(delivery);
        return;
    }
    deliveries_remove(&intake->out, delivery);
    settle(intake, delivery, verdict);
    if (intake->is_stopping)
        go_on_stopping(intake);
    else
        hand_out(intake);
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    delivered(arg, count > 0 ? verdicts[0] : REMORA_RETRY);
}

/* What the application answered beyond that is nothing to a queue. */
static void
on_event_done(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
              size_t metadata_count, void *arg)
{
    (void)data, (void)metadata, (void)metadata_count;
    delivered(arg, is_handled ? REMORA_DONE : REMORA_RETRY);
}

static void
hand_over(struct intake *intake, struct delivery *delivery)
{
    const struct remora_message *message = &delivery->message;
    if (intake->broker->settings.queue == NULL) {
        remora_deliver(intake->id, message, 1, on_delivered, delivery);
        return;
    }
    const struct remora_event event = { .data = message->data,
                                        .metadata = message->metadata,
                                        .metadata_count = message->metadata_count };
    remora_binding_event(intake->id, &event, on_event_done, delivery);
}

static void
hand_out(struct intake *intake)
{
    while (intake->queued.first != NULL && intake->out.count < intake->out_max &&
           !intake->is_stopping) {
        struct delivery *delivery = intake->queued.first;
        deliveries_remove(&intake->queued, delivery);
        deliveries_add(&intake->out, delivery);
        if (intake->broker->settings.auto_ack)
            say(intake, CONSUMER_ACK, delivery);
        hand_over(intake, delivery);
    }
}

/* --- the end -----------------------------------------------------------------------------------*/

static void
forget(struct intake *intake)
{
    struct intake **at = &intake->broker->intakes;
    while (*at != intake)
        at = &(*at)->next;
    *at = intake->next;
    intake_free(intake);
}

/* When what is out has been answered, the channel goes, and with it to the server what it has
 * delivered and nobody was given. */
static void
go_on_stopping(struct intake *intake)
{
    if (!intake->is_cancelled || intake->out.count > 0 || intake->is_releasing)
        return;
    intake->is_releasing = true;
    consumer_say(intake->broker->consumer, CONSUMER_RELEASE, intake, NULL);
}

void
intake_stop(struct intake *intake)
{
    if (intake->is_stopping)
        return;
    intake->is_stopping = true;
    deliveries_free(&intake->queued);
    settle_delayed(intake, &intake->delayed, CONSUMER_REQUEUE, true);
    settle_delayed(intake, &intake->refused, CONSUMER_REQUEUE, true);
    watch_delayed(intake);
    consumer_say(intake->broker->consumer, CONSUMER_CANCEL, intake, NULL);
}

void
intake_close(struct intake *intake)
{
    remora_call *opening = intake->opening, *closing = intake->closing;
    intake->opening = intake->closing = NULL;
    intake->is_stopping = true;
    ev_timer_stop(remora_loop(), &intake->delay);
    if (opening != NULL)
        remora_reply_error(opening, REMORA_CANCELLED, "the component is closed");
    if (closing != NULL)
        remora_reply_ok(closing);
}

void
intake_on_cancelled(struct intake *intake)
{
    intake->is_cancelled = true;
    go_on_stopping(intake);
}

void
intake_on_released(struct intake *intake)
{
    struct broker *broker = intake->broker;
    intake->is_released = true;
    if (intake->closing != NULL) {
        remora_call *call = intake->closing;
        intake->closing = NULL;
        intake->is_forgotten = true;
        remora_reply_ok(call);
    }
    if (intake->is_forgotten)
        forget(intake);
    broker_settle(broker);
}

void
intake_free(struct intake *intake)
{
    ev_timer_stop(remora_loop(), &intake->delay);
    while (intake->out.first != NULL) {
        struct delivery *delivery = intake->out.first;
        deliveries_remove(&intake->out, delivery);
        delivery->intake = NULL;
    }
    deliveries_free(&intake->queued);
    deliveries_free(&intake->delayed);
    deliveries_free(&intake->refused);
    feed_fini(&intake->feed);
    free(intake);
}

/* --- what the consumer tells -------------------------------------------------------------------*/

static void
open_failed(struct intake *intake, enum remora_code code, const char *why)
{
    remora_call *call = intake->opening;
    intake->opening = NULL;
    intake->is_forgotten = true;
    intake_stop(intake);
    remora_reply_error(call, code, ERROR_PREFIX "failed to subscribe to %s: %s",
                       intake->broker->settings.shown, intake->feed.queue, why);
}

void
intake_on_opened(struct intake *intake)
{
    intake->is_open = true;
    if (intake->opening != NULL) {
        remora_call *call = intake->opening;
        intake->opening = NULL;
        remora_log(REMORA_INFO, "%s: subscribe to topic/queue '%s/%s'",
                   intake->broker->settings.shown, intake->feed.topic, intake->feed.queue);
        remora_reply_ok(call);
    } else if (!intake->is_stopping) {
        remora_log(REMORA_INFO, "%s: queue %s is consumed again", intake->broker->settings.shown,
                   intake->feed.queue);
    }
    intake->is_refused = false;
}

void
intake_on_refused(struct intake *intake, const char *why)
{
    /* A queue for one connection alone is free once the generation before has let go of it. */
    if (intake->opening != NULL && !intake->broker->settings.is_exclusive) {
        open_failed(intake, REMORA_FAILED_PRECONDITION, why);
        return;
    }
    if (!intake->is_refused && !intake->is_stopping)
        remora_log(REMORA_WARN, "%s: queue %s cannot be consumed, trying on reason=\"%s\"",
                   intake->broker->settings.shown, intake->feed.queue, why);
    intake->is_refused = true;
}

static void
drop_old(struct deliveries *list, uint32_t epoch)
{
    for (struct delivery *at = list->first, *next; at != NULL; at = next) {
        next = at->next;
        if (at->envelope.epoch <= epoch) {
            deliveries_remove(list, at);
            delivery_free(at);
        }
    }
}

void
intake_on_lost(struct intake *intake, uint32_t epoch)
{
    intake->is_open = false;
    drop_old(&intake->queued, epoch);
    drop_old(&intake->delayed, epoch);
    drop_old(&intake->refused, epoch);
    watch_delayed(intake);
}

void
intake_on_arrived(struct intake *intake, struct delivery *delivery)
{
    if (intake->is_stopping) {
        delivery_free(delivery); /* and stays the server's */
        return;
    }
    deliveries_add(&intake->queued, delivery);
    hand_out(intake);
}

/* --- subscribing -------------------------------------------------------------------------------*/

static void
on_open_cancelled(remora_call *call, void *arg)
{
    struct intake *intake = arg;
    (void)call;
    const char *trouble = intake->broker->consumer_trouble;
    open_failed(intake, REMORA_UNAVAILABLE, *trouble == '\0' ? "no answer in time" : trouble);
}

static size_t
count_intakes(const struct broker *broker)
{
    size_t count = 0;
    for (const struct intake *at = broker->intakes; at != NULL; at = at->next)
        count++;
    return count;
}

/* Moved: the feed. */
static void
open_intake(struct broker *broker, remora_call *call, uint64_t id, struct feed feed)
{
    struct intake *intake = memory_new(sizeof *intake);
    *intake = (struct intake){
        .next = broker->intakes, .feed = feed, .broker = broker, .id = id, .opening = call
    };
    intake->out_max = broker->settings.is_single ? 1 : feed.prefetch;
    deliveries_init(&intake->queued);
    deliveries_init(&intake->out);
    deliveries_init(&intake->delayed);
    deliveries_init(&intake->refused);
    ev_timer_init(&intake->delay, on_delay_over, 0, 0);
    intake->delay.data = intake;
    broker->intakes = intake;
    consumer_say(broker->consumer, CONSUMER_OPEN, intake, NULL);
    remora_call_on_cancel(call, on_open_cancelled, intake); /* perhaps at once */
}

/* False: the call has been answered. */
static bool
may_open(struct broker *broker, remora_call *call)
{
    if (!broker->is_quiet && count_intakes(broker) < SUBSCRIPTIONS_MAX &&
        broker_has_consumer(broker))
        return true;
    remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED,
                       ERROR_PREFIX "no more subscriptions can be had", broker->settings.shown);
    return false;
}

void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted)
{
    struct broker *broker = self;
    char why[WHY_BYTES];
    struct feed feed;
    if (!may_open(broker, call))
        return;
    if (feed_init(&feed, &broker->settings, wanted, why))
        open_intake(broker, call, wanted->id, feed);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

void
broker_read(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct broker *broker = self;
    struct feed feed;
    if (!may_open(broker, call))
        return;
    feed_init_binding(&feed, &broker->settings, window);
    open_intake(broker, call, reading, feed);
}

static struct intake *
find_open(const struct broker *broker, uint64_t id)
{
    struct intake *intake = broker->intakes;
    while (intake != NULL && (intake->id != id || intake->is_forgotten || intake->closing != NULL))
        intake = intake->next;
    return intake;
}

static void
close_intake(remora_call *call, struct intake *intake)
{
    if (intake->opening != NULL) {
        remora_call *opening = intake->opening;
        intake->opening = NULL;
        remora_reply_error(opening, REMORA_CANCELLED, "the subscription was ended");
    }
    if (intake->is_released) { /* since the component became quiet */
        remora_reply_ok(call);
        forget(intake);
        return;
    }
    intake->closing = call;
    intake_stop(intake);
}

void
broker_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct intake *intake = find_open(self, id);
    if (intake != NULL)
        close_intake(call, intake);
    else
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
}

void
broker_stop(remora_call *call, void *self, uint64_t reading)
{
    struct intake *intake = find_open(self, reading);
    if (intake != NULL)
        close_intake(call, intake);
    else
        remora_reply_ok(call); /* nothing of it is handed over */
}
