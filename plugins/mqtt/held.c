/* SPDX-License-Identifier: Apache-2.0 */
/* What came in, from its arrival to its acknowledgement. */
#include "broker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"

#define NO_SESSION UINT64_MAX /* for a generation: the server has forgotten the message */

/* --- lists -------------------------------------------------------------------------------------*/

void
helds_init(struct helds *list)
{
    *list = (struct helds){ .last = &list->first };
}

static void
unlink_from_list(struct held *held)
{
    struct helds *list = held->list;
    assert(list != NULL);
    *held->at = held->next;
    if (held->next != NULL)
        held->next->at = held->at;
    else
        list->last = held->at;
    list->count--;
    held->list = NULL;
}

static void
append(struct held *held, struct helds *to)
{
    held->next = NULL;
    held->at = to->last;
    *to->last = held;
    to->last = &held->next;
    to->count++;
    held->list = to;
}

void
held_move(struct held *held, struct helds *to, struct intake *intake)
{
    unlink_from_list(held);
    append(held, to);
    held->intake = intake;
}

struct remora_slice
held_topic(const struct held *held)
{
    return (struct remora_slice){ held->bytes, held->topic_len };
}

static struct remora_slice
payload_of(const struct held *held)
{
    return (struct remora_slice){ held->bytes + held->topic_len, held->payload_len };
}

static size_t
bytes_of(const struct held *held)
{
    return sizeof *held + held->topic_len + held->payload_len;
}

/* --- room --------------------------------------------------------------------------------------*/

static bool
has_room(const struct broker *broker, const struct packet *packet)
{
    size_t bytes = sizeof(struct held) + packet->topic.len + packet->payload.len;
    return broker->held_count < HELD_MAX &&
           (broker->held_count == 0 || broker->held_bytes + bytes <= HELD_BYTES_MAX);
}

/* It is not acknowledged: a session that is resumed brings it again. */
static void
miss(struct broker *broker, const struct packet *packet)
{
    bool is_lost = packet->qos == 0 || broker->settings.clean_session;
    broker->has_missed = broker->has_missed || !is_lost;
    if (broker_may_complain(broker))
        remora_log(REMORA_WARN, "mqtt: too many messages wait for the application, %s",
                   is_lost ? "dropping" : "leaving the next ones with the broker");
}

static void
resume_if_missed(struct broker *broker)
{
    if (!broker->has_missed || broker->held_count > HELD_MAX / 2 ||
        broker->held_bytes > HELD_BYTES_MAX / 2)
        return;
    broker->has_missed = false;
    conn_restart(broker->conn, "to get the messages that there was no room for");
}

static void
held_free(struct held *held)
{
    struct broker *broker = held->broker;
    if (held->list != NULL)
        unlink_from_list(held);
    broker->held_count--;
    broker->held_bytes -= bytes_of(held);
    free(held);
    resume_if_missed(broker);
}

/* --- acknowledging -----------------------------------------------------------------------------*/

static bool
is_received(const struct broker *broker, uint16_t id)
{
    return (broker->received[id / 8] >> id % 8 & 1) != 0;
}

static void
set_received(struct broker *broker, uint16_t id, bool is_set)
{
    uint8_t bit = (uint8_t)(1u << id % 8), *byte = &broker->received[id / 8];
    *byte = is_set ? *byte | bit : *byte & (uint8_t)~bit;
}

/* The application has taken it. Over another connection than the one it came on, the server has to
 * send it again before it can be acknowledged. */
static void
acknowledge(struct held *held)
{
    struct broker *broker = held->broker;
    bool is_current = held->generation == broker->generation && conn_is_ready(broker->conn);
    bool is_known = held->generation != NO_SESSION && !broker->settings.clean_session;
    if (held->qos > 0 && !is_current && is_known) {
        held_move(held, &broker->done, NULL);
        if (broker->done.count > DONE_MAX)
            held_free(broker->done.first);
        return;
    }
    if (held->qos == 2 && is_current)
        set_received(broker, held->id, true);
    if (held->qos > 0 && is_current)
        packet_put_answer(conn_out(broker->conn), held->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC,
                          held->id);
    held_free(held);
}

/* --- handing over ------------------------------------------------------------------------------*/

static void
set_pause_timer(struct broker *broker)
{
    uint64_t now_ms = monotonic_now_ms(), due_ms = UINT64_MAX;
    for (const struct held *held = broker->paused.first; held != NULL; held = held->next)
        due_ms = held->due_ms < due_ms ? held->due_ms : due_ms;
    ev_timer_stop(remora_loop(), &broker->pause);
    if (due_ms == UINT64_MAX)
        return;
    ev_timer_set(&broker->pause, due_ms > now_ms ? (double)(due_ms - now_ms) / 1e3 : 0.0, 0.0);
    ev_timer_start(remora_loop(), &broker->pause);
}

/* It stays unacknowledged: the server keeps it, and sends it again over another connection. */
static bool
is_given_up(const struct held *held)
{
    const struct settings *settings = &held->broker->settings;
    if (settings->retries_max < 0 || held->refusals < (uint64_t)settings->retries_max)
        return false;
    remora_log(REMORA_ERROR, "Failed processing MQTT message: %.*s/%u", (int)held->topic_len,
               held->bytes, (unsigned)held->id);
    return true;
}

static void
pause_it(struct held *held)
{
    struct broker *broker = held->broker;
    uint64_t max_ms = broker->has_events ? EVENT_PAUSE_MAX_MS : REFUSED_PAUSE_MAX_MS;
    uint64_t pause_ms = REFUSED_PAUSE_MIN_MS;
    for (unsigned i = 0; i < held->refusals && pause_ms < max_ms; i++)
        pause_ms *= 2;
    held->refusals++;
    held->due_ms = monotonic_now_ms() + (pause_ms < max_ms ? pause_ms : max_ms);
    held_move(held, &broker->paused, NULL);
    set_pause_timer(broker);
}

void
held_on_pause_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct broker *broker = watcher->data;
    uint64_t now_ms = monotonic_now_ms();
    for (struct held *held = broker->paused.first, *next; held != NULL; held = next) {
        next = held->next;
        if (held->due_ms <= now_ms)
            held_route(held);
    }
    set_pause_timer(broker);
}

static void
delivered(struct held *held, bool is_done)
{
    struct broker *broker = held->broker;
    struct intake *intake = held->intake;
    if (broker == NULL) {
        free(held);
        return;
    }
    assert(intake != NULL && held->list == &intake->out);
    if (is_done)
        acknowledge(held);
    else if (held->qos > 0 && (intake->closing != NULL || broker->is_quiet))
        held_move(held, &broker->parked, NULL);
    else if (held->qos == 0 || is_given_up(held)) /* at most once; or for the server to repeat */
        held_free(held);
    else
        pause_it(held);
    intake_pump(intake);
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    delivered(arg, count > 0 && verdicts[0] == REMORA_DONE);
}

/* What the application answered beyond that is nothing to a topic. */
static void
on_event_done(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
              size_t metadata_count, void *arg)
{
    (void)data, (void)metadata, (void)metadata_count;
    delivered(arg, is_handled);
}

static void
hand_over_event(struct held *held)
{
    struct intake *intake = held->intake;
    struct remora_pair topic = { { "topic", strlen("topic") }, held_topic(held) };
    const struct remora_event event = { .data = payload_of(held),
                                        .metadata = &topic,
                                        .metadata_count = 1 };
    held_move(held, &intake->out, intake);
    remora_binding_event(intake->id, &event, on_event_done, held);
}

static void
hand_over(struct held *held)
{
    struct intake *intake = held->intake;
    struct remora_pair retained = { { "retained", strlen("retained") },
                                    { held->is_retained ? "true" : "false",
                                      held->is_retained ? strlen("true") : strlen("false") } };
    struct remora_message message = { .data = payload_of(held),
                                      .metadata = &retained,
                                      .metadata_count = 1 };
    if (!remora_slice_eq(held_topic(held), intake->filter))
        message.topic = held_topic(held);
    held_move(held, &intake->out, intake);
    remora_deliver(intake->id, &message, 1, on_delivered, held);
}

void
held_hand_out(struct intake *intake)
{
    while (intake->queued.first != NULL && intake->is_open && intake->closing == NULL &&
           !intake->broker->is_quiet && intake->out.count < intake->window)
        if (intake->broker->has_events)
            hand_over_event(intake->queued.first);
        else
            hand_over(intake->queued.first);
}

void
held_route(struct held *held)
{
    struct broker *broker = held->broker;
    struct intake *intake = intake_of_topic(broker, held_topic(held));
    if (intake == NULL) {
        if (held->generation == broker->generation && broker_may_complain(broker))
            remora_log(REMORA_INFO, "mqtt: a message of topic %.*s waits for a subscription",
                       (int)held->topic_len, held->bytes);
        held_move(held, &broker->parked, NULL);
        return;
    }
    held_move(held, &intake->queued, intake);
    held_hand_out(intake);
}

/* --- arriving ----------------------------------------------------------------------------------*/

static bool
is_same(const struct held *held, const struct packet *packet)
{
    return held->id == packet->id && held->qos == packet->qos &&
           held->topic_len == packet->topic.len && held->payload_len == packet->payload.len &&
           memcmp(held->bytes, packet->topic.data, packet->topic.len) == 0 &&
           (packet->payload.len == 0 ||
            memcmp(held->bytes + held->topic_len, packet->payload.data, packet->payload.len) == 0);
}

/* One of another connection that this is the repetition of. */
static struct held *
find_in(const struct helds *list, const struct packet *packet, uint64_t generation)
{
    struct held *held = list->first;
    while (held != NULL && (held->generation == generation || !is_same(held, packet)))
        held = held->next;
    return held;
}

static struct held *
find_repeated(const struct broker *broker, const struct packet *packet)
{
    const struct helds *const lists[] = { &broker->done, &broker->parked, &broker->paused };
    struct held *found = NULL;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && found == NULL; i++)
        found = find_in(lists[i], packet, broker->generation);
    for (const struct intake *intake = broker->intakes; intake != NULL && found == NULL;
         intake = intake->next) {
        found = find_in(&intake->out, packet, broker->generation);
        if (found == NULL)
            found = find_in(&intake->queued, packet, broker->generation);
    }
    return found;
}

/* False: it is not one that we have. */
static bool
recognise(struct broker *broker, const struct packet *packet)
{
    struct held *held = find_repeated(broker, packet);
    if (held == NULL)
        return false;
    held->generation = broker->generation;
    if (held->list == &broker->done)
        acknowledge(held);
    return true;
}

static struct held *
held_new(struct broker *broker, const struct packet *packet)
{
    struct held *held = malloc(sizeof *held + packet->topic.len + packet->payload.len);
    if (held == NULL)
        abort();
    *held = (struct held){ .broker = broker,
                           .generation = broker->generation,
                           .id = packet->id,
                           .qos = packet->qos,
                           .is_retained = packet->is_retained,
                           .topic_len = packet->topic.len,
                           .payload_len = packet->payload.len };
    memcpy(held->bytes, packet->topic.data, packet->topic.len);
    if (packet->payload.len > 0)
        memcpy(held->bytes + packet->topic.len, packet->payload.data, packet->payload.len);
    append(held, &broker->parked);
    broker->held_count++;
    broker->held_bytes += bytes_of(held);
    return held;
}

static void
take_message(struct broker *broker, const struct packet *packet)
{
    if (packet->qos == 2 && is_received(broker, packet->id)) {
        packet_put_answer(conn_out(broker->conn), PACKET_PUBREC, packet->id);
        return;
    }
    if (packet->qos > 0 && packet->is_again && recognise(broker, packet))
        return;
    if (packet->qos == 0 && intake_of_topic(broker, packet->topic) == NULL)
        return; /* nobody's, and at most once */
    if (!has_room(broker, packet)) {
        miss(broker, packet);
        return;
    }
    held_route(held_new(broker, packet));
}

void
held_on_packet(struct broker *broker, const struct packet *packet)
{
    if (packet->type == PACKET_PUBLISH) {
        take_message(broker, packet);
        return;
    }
    set_received(broker, packet->id, false);
    packet_put_answer(conn_out(broker->conn), PACKET_PUBCOMP, packet->id);
}

/* --- the session -------------------------------------------------------------------------------*/

static void
leave_session(struct helds *list)
{
    for (struct held *held = list->first; held != NULL; held = held->next)
        held->generation = NO_SESSION;
}

/* What is held of a session that is lost is all there is of it, and handed over nevertheless. */
void
held_on_ready(struct broker *broker, bool session_present)
{
    broker->has_missed = false; /* what there was no room for comes now */
    if (session_present)
        return;
    for (struct held *held = broker->done.first, *next; held != NULL; held = next) {
        next = held->next;
        held_free(held);
    }
    leave_session(&broker->parked);
    leave_session(&broker->paused);
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next) {
        leave_session(&intake->queued);
        leave_session(&intake->out);
    }
    memset(broker->received, 0, sizeof broker->received);
}

static void
free_list(struct helds *list)
{
    for (struct held *held = list->first, *next; held != NULL; held = next) {
        next = held->next;
        free(held);
    }
    helds_init(list);
}

/* Those that are with the sidecar are freed when it answers. */
void
held_free_all(struct broker *broker)
{
    broker->held_count = broker->held_bytes = 0;
    free_list(&broker->parked);
    free_list(&broker->paused);
    free_list(&broker->done);
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next) {
        free_list(&intake->queued);
        for (struct held *held = intake->out.first; held != NULL; held = held->next)
            held->broker = NULL;
        helds_init(&intake->out);
    }
}
