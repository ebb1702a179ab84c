/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions. The server keeps them in the session: ending one here is no UNSUBSCRIBE unless the
 * session is clean or the subscription says `unsubscribeOnClose`, so that what is published until
 * it is opened again is not lost.
 */
#include "broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "topic.h"

#define FAILED "mqtt error from subscribe: "

static struct remora_slice
filter_of(const struct intake *intake)
{
    return (struct remora_slice){ intake->filter, strlen(intake->filter) };
}

/* --- whose message -----------------------------------------------------------------------------*/

/* One that names the topic itself before those that match it, as the reference does. */
struct intake *
intake_of_topic(struct broker *broker, struct remora_slice topic)
{
    struct intake *found = NULL;
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next) {
        struct remora_slice shared = topic_shared(filter_of(intake));
        if (intake->closing != NULL)
            continue;
        if (remora_slice_eq(topic, intake->filter))
            return intake;
        if (found == NULL && topic_matches(shared, topic))
            found = intake;
    }
    return found;
}

/* --- the end -----------------------------------------------------------------------------------*/

/* For another one that wants it, or for later. */
static void
set_aside(struct intake *intake)
{
    while (intake->queued.first != NULL) {
        struct held *held = intake->queued.first;
        held_move(held, &intake->broker->parked, NULL);
        held_route(held);
    }
}

static void
forget(struct intake *intake)
{
    struct broker *broker = intake->broker;
    struct intake **at = &broker->intakes;
    while (*at != intake)
        at = &(*at)->next;
    *at = intake->next;
    set_aside(intake);
    free(intake->filter);
    free(intake);
}

static bool
has_twin(const struct intake *intake)
{
    for (const struct intake *other = intake->broker->intakes; other != NULL; other = other->next)
        if (other != intake && other->closing == NULL && strcmp(other->filter, intake->filter) == 0)
            return true;
    return false;
}

static void
close_it(struct intake *intake)
{
    struct broker *broker = intake->broker;
    if ((broker->settings.clean_session || intake->unsubscribe_on_close) &&
        conn_is_ready(broker->conn) && !has_twin(intake))
        packet_put_unsubscribe(conn_out(broker->conn), broker_new_id(broker), filter_of(intake));
    remora_call *call = intake->closing;
    forget(intake);
    remora_reply_ok(call);
}

void
intake_pump(struct intake *intake)
{
    struct broker *broker = intake->broker;
    held_hand_out(intake);
    if (intake->closing != NULL && intake->out.count == 0)
        close_it(intake);
    broker_settle(broker);
}

void
intakes_free(struct broker *broker)
{
    while (broker->intakes != NULL) {
        struct intake *intake = broker->intakes;
        broker->intakes = intake->next;
        if (intake->opening != NULL)
            remora_reply_error(intake->opening, REMORA_CANCELLED, FAILED "mqtt client closed");
        if (intake->closing != NULL)
            remora_reply_ok(intake->closing);
        free(intake->filter);
        free(intake);
    }
}

/* --- the server's word -------------------------------------------------------------------------*/

static void
ask(struct intake *intake)
{
    struct broker *broker = intake->broker;
    intake->subscribe_id = broker_new_id(broker);
    packet_put_subscribe(conn_out(broker->conn), intake->subscribe_id, filter_of(intake),
                         broker->settings.qos);
}

void
intakes_on_ready(struct broker *broker)
{
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        if (intake->closing == NULL)
            ask(intake);
}

static void
open_failed(struct intake *intake, enum remora_code code, const char *why)
{
    remora_call *call = intake->opening;
    intake->opening = NULL;
    remora_reply_error(call, code, FAILED "%s", why);
    forget(intake);
}

/* What waited for somebody to want it. */
static void
adopt_parked(struct broker *broker)
{
    size_t count = broker->parked.count;
    for (struct held *held = broker->parked.first, *next; held != NULL && count > 0; held = next) {
        next = held->next;
        count--;
        held_route(held); /* which puts it at the end if nobody does */
    }
}

void
intakes_resume(struct broker *broker)
{
    adopt_parked(broker);
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        held_hand_out(intake);
}

static void
opened(struct intake *intake)
{
    remora_call *call = intake->opening;
    intake->opening = NULL;
    intake->is_open = true;
    remora_log(REMORA_INFO, "MQTT is subscribed to topic %s (qos: %d)", intake->filter,
               intake->broker->settings.qos);
    remora_reply_ok(call);
    adopt_parked(intake->broker);
    intake_pump(intake);
}

void
intakes_on_packet(struct broker *broker, const struct packet *packet)
{
    struct intake *intake = broker->intakes;
    while (intake != NULL && intake->subscribe_id != packet->id)
        intake = intake->next;
    if (intake == NULL)
        return; /* of a subscription that is gone */
    intake->subscribe_id = 0;
    if (packet->code != PACKET_REFUSED && intake->opening != NULL)
        opened(intake);
    else if (packet->code == PACKET_REFUSED && intake->opening != NULL)
        open_failed(intake, REMORA_PERMISSION_DENIED, "the broker refuses it");
    else if (packet->code == PACKET_REFUSED)
        remora_log(REMORA_ERROR,
                   "mqtt: the broker refuses topic %s, which it had allowed; asked again with the "
                   "next connection",
                   intake->filter);
}

static void
open_late(struct intake *intake)
{
    const char *why = conn_why(intake->broker->conn);
    char text[CONN_WHY_BYTES + 64];
    snprintf(text, sizeof text, "timeout waiting for subscription%s%s", why[0] == '\0' ? "" : ": ",
             why);
    open_failed(intake, REMORA_UNAVAILABLE, text);
}

bool
intakes_sweep(struct broker *broker, uint64_t now_ms)
{
    bool is_any = false;
    for (struct intake *intake = broker->intakes, *next; intake != NULL; intake = next) {
        next = intake->next;
        if (intake->opening != NULL && now_ms >= intake->opening_until_ms)
            open_late(intake);
        else
            is_any = is_any || intake->opening != NULL;
    }
    return is_any;
}

static void
on_cancelled(remora_call *call, void *arg)
{
    (void)call;
    open_late(arg);
}

/* --- operations --------------------------------------------------------------------------------*/

static struct intake *
intake_new(struct broker *broker, const struct remora_subscription *wanted)
{
    struct remora_slice unsubscribe;
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        abort();
    *intake = (struct intake){ .next = broker->intakes,
                               .broker = broker,
                               .id = wanted->id,
                               .filter = remora_slice_dup(wanted->topic), /* has no NUL */
                               .window = wanted->window > 0 ? wanted->window : 1,
                               .opening_until_ms = monotonic_now_ms() + WAIT_MS };
    if (broker->has_events)
        intake->opening_until_ms = monotonic_now_ms() + EVENT_WAIT_MS;
    if (remora_metadata_get(wanted->metadata, wanted->metadata_count, "unsubscribeOnClose",
                            &unsubscribe) &&
        !remora_parse_bool(unsubscribe, &intake->unsubscribe_on_close))
        intake->unsubscribe_on_close = false;
    helds_init(&intake->queued);
    helds_init(&intake->out);
    broker->intakes = intake;
    return intake;
}

void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted)
{
    struct broker *broker = self;
    const char *fault = topic_filter_fault(wanted->topic);
    if (fault != NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", fault);
        return;
    }
    struct intake *intake = intake_new(broker, wanted);
    intake->opening = call;
    if (conn_is_ready(broker->conn))
        ask(intake); /* otherwise with the next connection */
    broker_watch(broker);
    remora_call_on_cancel(call, on_cancelled, intake); /* which may be at once: nothing follows */
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
    if (intake->opening != NULL) {
        remora_call *opening = intake->opening;
        intake->opening = NULL;
        remora_reply_error(opening, REMORA_CANCELLED, FAILED "it is ended already");
    }
    intake->closing = call;
    set_aside(intake);
    intake_pump(intake);
}
