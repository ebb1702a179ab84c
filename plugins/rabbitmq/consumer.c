/* SPDX-License-Identifier: Apache-2.0 */
/* Consuming. */
#include "consumer.h"

#include <pthread.h>
#include <stdio.h>

struct order {
    struct order *next;
    enum consumer_verb verb;
    struct intake *intake;
    struct envelope envelope;
};

struct consumer {
    const struct settings *settings;
    const struct consumer_events *events;
    void *owner;
    struct session *session;

    pthread_mutex_t lock;
    struct order *orders, **orders_last; /* under the lock: to the thread */
    struct deliveries arrived;           /* under the lock: from it */

    /* The thread's. */
    struct intake *active; /* those it has been told of */
    uint16_t last_channel;
};

/* --- to the plugin's thread --------------------------------------------------------------------*/

static void
on_arrived(void *arg)
{
    struct consumer *consumer = arg;
    struct deliveries arrived;
    deliveries_init(&arrived);
    pthread_mutex_lock(&consumer->lock);
    while (consumer->arrived.first != NULL) {
        struct delivery *delivery = consumer->arrived.first;
        deliveries_remove(&consumer->arrived, delivery);
        deliveries_add(&arrived, delivery);
    }
    pthread_mutex_unlock(&consumer->lock);
    while (arrived.first != NULL) {
        struct delivery *delivery = arrived.first;
        deliveries_remove(&arrived, delivery);
        intake_on_arrived(delivery->intake, delivery);
    }
}

static void
pass_on(struct consumer *consumer, struct delivery *delivery)
{
    pthread_mutex_lock(&consumer->lock);
    bool was_empty = consumer->arrived.first == NULL;
    deliveries_add(&consumer->arrived, delivery);
    pthread_mutex_unlock(&consumer->lock);
    if (was_empty)
        remora_post(on_arrived, consumer);
}

enum news_of { NEWS_OPENED, NEWS_REFUSED, NEWS_LOST, NEWS_CANCELLED, NEWS_RELEASED };

struct news {
    enum news_of what;
    struct intake *intake;
    uint32_t epoch;
    char why[WHY_BYTES];
};

static void
on_news(void *arg)
{
    struct news *news = arg;
    switch (news->what) {
    case NEWS_OPENED:
        intake_on_opened(news->intake);
        break;
    case NEWS_REFUSED:
        intake_on_refused(news->intake, news->why);
        break;
    case NEWS_LOST:
        intake_on_lost(news->intake, news->epoch);
        break;
    case NEWS_CANCELLED:
        intake_on_cancelled(news->intake);
        break;
    case NEWS_RELEASED:
        intake_on_released(news->intake);
        break;
    }
    free(news);
}

static void
tell(struct intake *intake, enum news_of what, const char *why)
{
    struct news *news = memory_new(sizeof *news);
    news->what = what;
    news->intake = intake;
    news->epoch = intake->channel_epoch;
    snprintf(news->why, sizeof news->why, "%s", why);
    remora_post(on_news, news);
}

/* --- channels ----------------------------------------------------------------------------------*/

static bool
is_taken(const struct consumer *consumer, uint16_t channel)
{
    for (const struct intake *at = consumer->active; at != NULL; at = at->next_active)
        if (at->has_channel && at->channel == channel)
            return true;
    return false;
}

/* In turns: of a number that was just in use late frames may still be in the library's hands. */
static uint16_t
free_channel(struct consumer *consumer)
{
    int max = amqp_get_channel_max(session_amqp(consumer->session));
    max = max <= 0 || max > UINT16_MAX ? UINT16_MAX : max;
    for (int tries = 0; tries < max; tries++) {
        consumer->last_channel = (uint16_t)(consumer->last_channel % max + 1);
        if (!is_taken(consumer, consumer->last_channel))
            return consumer->last_channel;
    }
    return 0;
}

static void
forget_message(struct intake *intake)
{
    delivery_free(intake->arriving);
    intake->arriving = NULL;
    intake->has_envelope = false;
    intake->body_left = 0;
}

/* The channel is gone, and with it all that its tags mean. */
static void
channel_lost(struct intake *intake)
{
    intake->has_channel = false;
    forget_message(intake);
    if (intake->phase == INTAKE_OPEN) {
        intake->phase = INTAKE_IDLE;
        tell(intake, NEWS_LOST, "");
    }
}

static void
open_later(const struct consumer *consumer, struct intake *intake)
{
    int64_t max_ms = consumer->settings->reconnect_wait_ms;
    max_ms = max_ms < RETRY_MIN_MS ? RETRY_MIN_MS : max_ms;
    intake->retry_at_ms = now_ms() + (uint64_t)intake->retry_ms;
    intake->retry_ms = intake->retry_ms * 2 > max_ms ? max_ms : intake->retry_ms * 2;
}

static void
open_intake(struct consumer *consumer, struct intake *intake)
{
    char why[WHY_BYTES];
    uint16_t channel = free_channel(consumer);
    bool is_open = false;
    if (channel == 0) {
        snprintf(why, sizeof why, "there are too many subscriptions");
    } else {
        intake->channel_epoch++;
        intake->channel = channel;
        is_open = feed_open(consumer->session, consumer->settings, &intake->feed, channel, why);
    }
    if (!is_open) {
        open_later(consumer, intake);
        if (session_amqp(consumer->session) != NULL) /* else it is told what the connection has */
            tell(intake, NEWS_REFUSED, why);
        return;
    }
    intake->has_channel = true;
    intake->phase = INTAKE_OPEN;
    intake->retry_ms = RETRY_MIN_MS;
    tell(intake, NEWS_OPENED, "");
}

static struct intake *
find(const struct consumer *consumer, uint16_t channel)
{
    struct intake *intake = consumer->active;
    while (intake != NULL && !(intake->has_channel && intake->channel == channel))
        intake = intake->next_active;
    return intake;
}

/* --- orders ------------------------------------------------------------------------------------*/

static void
cancel(struct consumer *consumer, struct intake *intake)
{
    char why[WHY_BYTES];
    struct session *session = consumer->session;
    if (intake->phase == INTAKE_OPEN && session_amqp(session) != NULL) {
        session_enter(session);
        (void)amqp_basic_cancel(session_amqp(session), intake->channel,
                                amqp_cstring_bytes(intake->feed.queue));
        if (!session_answered(session, intake->channel, "the consumer cannot be cancelled", why))
            intake->has_channel = false;
    }
    intake->phase = INTAKE_CANCELLED;
    tell(intake, NEWS_CANCELLED, "");
}

static void
release(struct consumer *consumer, struct intake *intake)
{
    struct session *session = consumer->session;
    if (intake->has_channel && session_amqp(session) != NULL) {
        session_enter(session);
        amqp_rpc_reply_t reply = amqp_channel_close(session_amqp(session), intake->channel,
                                                    AMQP_REPLY_SUCCESS);
        session_leave(session);
        if (reply.reply_type != AMQP_RESPONSE_NORMAL)
            session_break(session, "a channel cannot be closed");
    }
    forget_message(intake);
    intake->has_channel = false;
    struct intake **at = &consumer->active;
    while (*at != NULL && *at != intake)
        at = &(*at)->next_active;
    if (*at != NULL)
        *at = intake->next_active;
    tell(intake, NEWS_RELEASED, "");
}

/* What a channel that is gone has delivered is the server's again, without a word. */
static void
settle(struct consumer *consumer, const struct order *order)
{
    struct session *session = consumer->session;
    const struct intake *intake = order->intake;
    amqp_connection_state_t amqp = session_amqp(session);
    if (amqp == NULL || !intake->has_channel || order->envelope.epoch != intake->channel_epoch)
        return;
    session_enter(session);
    if (order->verb == CONSUMER_ACK)
        (void)session_wrote(session, amqp_basic_ack(amqp, intake->channel, order->envelope.tag, 0));
    else
        (void)session_wrote(session, amqp_basic_nack(amqp, intake->channel, order->envelope.tag, 0,
                                                     order->verb == CONSUMER_REQUEUE));
}

static void
obey(struct consumer *consumer, const struct order *order)
{
    struct intake *intake = order->intake;
    switch (order->verb) {
    case CONSUMER_OPEN:
        intake->phase = INTAKE_IDLE;
        intake->retry_ms = RETRY_MIN_MS;
        intake->next_active = consumer->active;
        consumer->active = intake;
        break;
    case CONSUMER_CANCEL:
        cancel(consumer, intake);
        break;
    case CONSUMER_RELEASE:
        release(consumer, intake);
        break;
    case CONSUMER_ACK:
    case CONSUMER_REJECT:
    case CONSUMER_REQUEUE:
        settle(consumer, order);
        break;
    }
}

static void
on_work(void *owner)
{
    struct consumer *consumer = owner;
    pthread_mutex_lock(&consumer->lock);
    struct order *orders = consumer->orders;
    consumer->orders = NULL;
    consumer->orders_last = &consumer->orders;
    pthread_mutex_unlock(&consumer->lock);
    for (struct order *next; orders != NULL; orders = next) {
        next = orders->next;
        obey(consumer, orders);
        free(orders);
    }
    for (struct intake *at = consumer->active; at != NULL; at = at->next_active)
        if (at->phase == INTAKE_IDLE && now_ms() >= at->retry_at_ms &&
            session_amqp(consumer->session) != NULL)
            open_intake(consumer, at);
}

static uint64_t
due_ms(void *owner)
{
    const struct consumer *consumer = owner;
    uint64_t due = UINT64_MAX;
    if (session_amqp(consumer->session) == NULL)
        return due;
    for (const struct intake *at = consumer->active; at != NULL; at = at->next_active)
        if (at->phase == INTAKE_IDLE && at->retry_at_ms < due)
            due = at->retry_at_ms;
    return due;
}

/* --- frames ------------------------------------------------------------------------------------*/

static void
complete(struct consumer *consumer, struct intake *intake)
{
    struct delivery *delivery = intake->arriving;
    intake->arriving = NULL;
    pass_on(consumer, delivery);
}

static void
skip(struct consumer *consumer, struct intake *intake, uint64_t size)
{
    log_from_thread(REMORA_WARN,
                    "%s: a message of queue %s is too large and is rejected bytes=%llu",
                    consumer->settings->shown, intake->feed.queue, (unsigned long long)size);
    struct order order = { .verb = CONSUMER_REJECT,
                           .intake = intake,
                           .envelope = intake->envelope };
    settle(consumer, &order);
}

static void
on_header(struct consumer *consumer, struct intake *intake, const amqp_frame_t *frame)
{
    uint64_t size = frame->payload.properties.body_size;
    if (!intake->has_envelope || frame->payload.properties.class_id != AMQP_BASIC_CLASS) {
        session_break(consumer->session, "a header that belongs to nothing");
        return;
    }
    intake->has_envelope = false;
    intake->body_left = size;
    if (size > MESSAGE_BYTES_MAX) {
        skip(consumer, intake, size);
        return;
    }
    enum delivery_view view = consumer->settings->queue != NULL    ? DELIVERY_HEADERS
                              : consumer->settings->has_properties ? DELIVERY_PROPERTIES
                                                                   : DELIVERY_BARE;
    intake->arriving = delivery_new(intake, intake->envelope, frame->payload.properties.decoded,
                                    size, view);
    if (size == 0)
        complete(consumer, intake);
}

static void
on_body(struct consumer *consumer, struct intake *intake, amqp_bytes_t piece)
{
    if (piece.len > intake->body_left ||
        (intake->arriving != NULL && !delivery_append(intake->arriving, piece))) {
        session_break(consumer->session, "a message is longer than announced");
        return;
    }
    intake->body_left -= piece.len;
    if (intake->body_left == 0 && intake->arriving != NULL)
        complete(consumer, intake);
}

/* The server has cancelled the consumer: its queue was deleted, or has moved. */
static void
on_cancelled(struct consumer *consumer, struct intake *intake)
{
    struct session *session = consumer->session;
    log_from_thread(REMORA_WARN, "%s: the server cancelled the consumer of queue %s",
                    consumer->settings->shown, intake->feed.queue);
    session_enter(session);
    amqp_rpc_reply_t reply = amqp_channel_close(session_amqp(session), intake->channel,
                                                AMQP_REPLY_SUCCESS);
    session_leave(session);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        session_break(session, "a channel cannot be closed");
    channel_lost(intake);
    open_later(consumer, intake);
}

static void
on_closed(struct consumer *consumer, struct intake *intake, const amqp_channel_close_t *close)
{
    char why[WHY_BYTES];
    session_channel_closed(consumer->session, intake->channel, close, why);
    log_from_thread(REMORA_WARN, "%s: the server closed the channel of queue %s reason=\"%s\"",
                    consumer->settings->shown, intake->feed.queue, why);
    channel_lost(intake);
    open_later(consumer, intake);
}

static void
on_method(struct consumer *consumer, struct intake *intake, const amqp_method_t *method)
{
    const amqp_basic_deliver_t *deliver = method->decoded;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        forget_message(intake);
        intake->has_envelope = true;
        intake->envelope = (struct envelope){ .tag = deliver->delivery_tag,
                                              .epoch = intake->channel_epoch,
                                              .is_redelivered = deliver->redelivered };
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        on_cancelled(consumer, intake);
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        on_closed(consumer, intake, method->decoded);
        break;
    default:
        break;
    }
}

static void
on_frame(void *owner, const amqp_frame_t *frame)
{
    struct consumer *consumer = owner;
    struct intake *intake = find(consumer, frame->channel);
    if (intake == NULL)
        return; /* late, of a channel that is closed */
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        on_method(consumer, intake, &frame->payload.method);
        break;
    case AMQP_FRAME_HEADER:
        on_header(consumer, intake, frame);
        break;
    case AMQP_FRAME_BODY:
        on_body(consumer, intake, frame->payload.body_fragment);
        break;
    default:
        break;
    }
}

/* --- the connection ----------------------------------------------------------------------------*/

struct connection_news {
    struct consumer *consumer;
    bool is_ready;
    char why[WHY_BYTES];
};

static void
on_connection_news(void *arg)
{
    struct connection_news *news = arg;
    if (news->is_ready)
        news->consumer->events->ready(news->consumer->owner);
    else
        news->consumer->events->lost(news->consumer->owner, news->why);
    free(news);
}

static void
tell_of_connection(struct consumer *consumer, bool is_ready, const char *why)
{
    struct connection_news *news = memory_new(sizeof *news);
    news->consumer = consumer;
    news->is_ready = is_ready;
    snprintf(news->why, sizeof news->why, "%s", why);
    remora_post(on_connection_news, news);
}

static void
on_ready(void *owner)
{
    struct consumer *consumer = owner;
    for (struct intake *at = consumer->active; at != NULL; at = at->next_active)
        at->retry_at_ms = 0;
    tell_of_connection(consumer, true, "");
}

static void
on_lost(void *owner, const char *why)
{
    struct consumer *consumer = owner;
    for (struct intake *at = consumer->active; at != NULL; at = at->next_active)
        channel_lost(at);
    tell_of_connection(consumer, false, why);
}

/* That is for those who publish. */
static void
on_blocked(void *owner, const char *why)
{
    (void)owner, (void)why;
}

static void
on_stopped(void *owner)
{
    struct consumer *consumer = owner;
    for (struct intake *at = consumer->active; at != NULL; at = at->next_active)
        forget_message(at);
    consumer->events->stopped(consumer->owner);
}

/* --- from outside ------------------------------------------------------------------------------*/

static const struct session_ops ops = { .name = "consumer",
                                        .ready = on_ready,
                                        .lost = on_lost,
                                        .work = on_work,
                                        .frame = on_frame,
                                        .due_ms = due_ms,
                                        .blocked = on_blocked,
                                        .stopped = on_stopped };

struct consumer *
consumer_start(const struct settings *settings, const struct consumer_events *events, void *owner)
{
    struct consumer *consumer = memory_new(sizeof *consumer);
    consumer->settings = settings;
    consumer->events = events;
    consumer->owner = owner;
    pthread_mutex_init(&consumer->lock, NULL);
    consumer->orders_last = &consumer->orders;
    deliveries_init(&consumer->arrived);
    consumer->session = session_new(settings, &ops, consumer);
    if (session_start(consumer->session))
        return consumer;
    consumer_free(consumer);
    return NULL;
}

void
consumer_say(struct consumer *consumer, enum consumer_verb verb, struct intake *intake,
             const struct envelope *envelope)
{
    struct order *order = memory_new(sizeof *order);
    *order = (struct order){ .verb = verb, .intake = intake };
    if (envelope != NULL)
        order->envelope = *envelope;
    pthread_mutex_lock(&consumer->lock);
    bool was_empty = consumer->orders == NULL;
    *consumer->orders_last = order;
    consumer->orders_last = &order->next;
    pthread_mutex_unlock(&consumer->lock);
    if (was_empty)
        session_ring(consumer->session);
}

void
consumer_stop(struct consumer *consumer)
{
    session_stop(consumer->session);
}

void
consumer_free(struct consumer *consumer)
{
    while (consumer->orders != NULL) {
        struct order *order = consumer->orders;
        consumer->orders = order->next;
        free(order);
    }
    while (consumer->arrived.first != NULL) {
        struct delivery *delivery = consumer->arrived.first;
        deliveries_remove(&consumer->arrived, delivery);
        delivery_free(delivery);
    }
    session_free(consumer->session);
    pthread_mutex_destroy(&consumer->lock);
    free(consumer);
}

void
consumer_watch(struct consumer *consumer)
{
    session_watch(consumer->session);
}
