/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a component. */
#include "broker.h"

#include <stdio.h>

enum { WATCH_S = 1 };

static void
broker_free(struct broker *broker)
{
    ev_timer_stop(remora_loop(), &broker->watch);
    while (broker->intakes != NULL) {
        struct intake *intake = broker->intakes;
        broker->intakes = intake->next;
        intake_free(intake);
    }
    if (broker->consumer != NULL)
        consumer_free(broker->consumer);
    if (broker->publisher != NULL)
        publisher_free(broker->publisher);
    settings_fini(&broker->settings);
    free(broker);
}

static void
end_if_stopped(struct broker *broker)
{
    if (broker->is_closed && broker->has_publisher_ended &&
        (broker->consumer == NULL || broker->has_consumer_ended))
        broker_free(broker);
}

/* --- connections -------------------------------------------------------------------------------*/

static void
init_failed(struct broker *broker, enum remora_code code, const char *why)
{
    remora_call *call = broker->init;
    broker->init = NULL;
    remora_reply_error(call, code, ERROR_PREFIX "%s", broker->settings.shown, why);
    broker_close(broker);
}

static void
on_publisher_ready(void *self)
{
    struct broker *broker = self;
    if (broker->is_publisher_down)
        remora_log(REMORA_INFO, "%s: connected again for publishing server=%s",
                   broker->settings.shown, broker->settings.address.shown);
    broker->is_publisher_down = false;
    if (broker->init == NULL)
        return;
    remora_call *call = broker->init;
    broker->init = NULL;
    remora_reply_init(call, broker, broker->capabilities, 0);
}

static void
on_publisher_lost(void *self, const char *why)
{
    struct broker *broker = self;
    if (broker->init != NULL) {
        init_failed(broker, REMORA_UNAVAILABLE, why);
        return;
    }
    if (!broker->is_publisher_down && !broker->is_closed)
        remora_log(REMORA_WARN,
                   "%s: no connection for publishing, trying on server=%s "
                   "reason=\"%s\"",
                   broker->settings.shown, broker->settings.address.shown, why);
    broker->is_publisher_down = true;
}

static void
on_publisher_stopped(void *self)
{
    struct broker *broker = self;
    broker->has_publisher_ended = true;
    end_if_stopped(broker);
}

static void
on_consumer_ready(void *self)
{
    struct broker *broker = self;
    if (broker->is_consumer_down)
        remora_log(REMORA_INFO, "%s: connected again for subscriptions server=%s",
                   broker->settings.shown, broker->settings.address.shown);
    broker->is_consumer_down = false;
    broker->consumer_trouble[0] = '\0';
}

static void
on_consumer_lost(void *self, const char *why)
{
    struct broker *broker = self;
    if (!broker->is_consumer_down && !broker->is_closed)
        remora_log(REMORA_WARN,
                   "%s: no connection for subscriptions, trying on server=%s "
                   "reason=\"%s\"",
                   broker->settings.shown, broker->settings.address.shown, why);
    broker->is_consumer_down = true;
    snprintf(broker->consumer_trouble, sizeof broker->consumer_trouble, "%s", why);
}

static void
on_consumer_stopped(void *self)
{
    struct broker *broker = self;
    broker->has_consumer_ended = true;
    end_if_stopped(broker);
}

bool
broker_has_consumer(struct broker *broker)
{
    static const struct consumer_events events = { .ready = on_consumer_ready,
                                                   .lost = on_consumer_lost,
                                                   .stopped = on_consumer_stopped };
    if (broker->consumer == NULL && !broker->is_closed)
        broker->consumer = consumer_start(&broker->settings, &events, broker);
    return broker->consumer != NULL && !broker->is_closed;
}

static void
on_watch(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct broker *broker = timer->data;
    if (!broker->has_publisher_ended)
        publisher_watch(broker->publisher);
    if (broker->consumer != NULL && !broker->has_consumer_ended)
        consumer_watch(broker->consumer);
}

/* --- life --------------------------------------------------------------------------------------*/

/* The sidecar waits no longer. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    (void)call;
    init_failed(arg, REMORA_DEADLINE_EXCEEDED, "the server did not answer in time");
}

void
broker_open(remora_call *call, struct settings settings, uint32_t capabilities)
{
    static const struct publisher_events events = { .ready = on_publisher_ready,
                                                    .lost = on_publisher_lost,
                                                    .done = broker_on_letter,
                                                    .stopped = on_publisher_stopped };
    struct broker *broker = memory_new(sizeof *broker);
    broker->settings = settings;
    broker->capabilities = capabilities;
    ev_timer_init(&broker->watch, on_watch, WATCH_S, WATCH_S);
    broker->watch.data = broker;
    broker->init = call;
    broker->publisher = publisher_start(&broker->settings, &events, broker);
    if (broker->publisher == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, ERROR_PREFIX "no thread can be had",
                           broker->settings.shown);
        broker_free(broker);
        return;
    }
    ev_timer_start(remora_loop(), &broker->watch);
    remora_call_on_cancel(call, on_init_cancelled, broker); /* perhaps at once */
}

void
broker_init(remora_call *call, const struct remora_config *config)
{
    char why[WHY_BYTES];
    struct settings settings;
    if (settings_init(&settings, config, why))
        broker_open(call, settings, REMORA_CAP_MESSAGE_TTL | REMORA_CAP_BULK_PUBLISH);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

void
broker_settle(struct broker *broker)
{
    remora_call *call = broker->quiescing;
    if (call == NULL)
        return;
    for (const struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        if (!intake->is_released)
            return;
    broker->quiescing = NULL;
    remora_reply_ok(call);
}

void
broker_quiesce(remora_call *call, void *self)
{
    struct broker *broker = self;
    broker->is_quiet = true;
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        intake_stop(intake);
    broker->quiescing = call;
    broker_settle(broker);
}

void
broker_close(void *self)
{
    struct broker *broker = self;
    broker->is_closed = true;
    broker->is_quiet = true;
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        intake_close(intake);
    if (broker->quiescing != NULL)
        remora_reply_ok(broker->quiescing);
    broker->quiescing = NULL;
    publisher_stop(broker->publisher);
    if (broker->consumer != NULL)
        consumer_stop(broker->consumer);
}

const struct remora_pubsub_ops broker_ops = { .publish = broker_publish,
                                              .publish_many = broker_publish_many,
                                              .subscribe = broker_subscribe,
                                              .unsubscribe = broker_unsubscribe };
