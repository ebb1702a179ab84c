/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out. A message is answered with the server's word: PUBACK, PUBCOMP, or, of QoS 0, that
 * it could be written. Without a connection it waits for one until its time is over; over another
 * one it is sent again under the same identifier.
 */
#include "broker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "topic.h"

enum {
    TRIES_MAX = 3, /* connections that a message may have been sent on and lost with */
    TEXT_SHOWN = 64,
    PAYLOAD_BYTES_MAX = PACKET_BYTES_MAX - PACKET_TEXT_BYTES_MAX - 16,
};

#define FAILED "failed to publish: "

static void
mark_id(struct broker *broker, uint16_t id, bool is_taken)
{
    uint8_t bit = (uint8_t)(1u << id % 8);
    broker->ids[id / 8] = is_taken ? broker->ids[id / 8] | bit
                                   : broker->ids[id / 8] & (uint8_t)~bit;
}

static void
forget(struct sending *sending)
{
    struct broker *broker = sending->broker;
    struct sending **at = &broker->sendings;
    while (*at != sending)
        at = &(*at)->next;
    *at = sending->next;
    if (sending->next == NULL)
        broker->sendings_last = at;
    if (sending->id != 0)
        mark_id(broker, sending->id, false);
    broker->sending_count--;
    free(sending);
}

/* Its call, which is to be answered now. What remains of QoS 2 is a handshake without message. */
static remora_call *
take_call(struct sending *sending)
{
    remora_call *call = sending->call;
    sending->broker->sending_bytes -= sending->message->data.len;
    sending->call = NULL;
    sending->message = NULL;
    return call;
}

static void
succeed(struct sending *sending)
{
    if (sending->call != NULL)
        remora_reply_ok(take_call(sending));
    forget(sending);
}

/* What never left has waited its time: the sidecar is not asked to try again. */
static void
fail(struct sending *sending, enum remora_code code, const char *message)
{
    const struct remora_failure failure = {
        .code = code,
        .effect = sending->tries > 0 ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_FAILED,
        .message = message,
    };
    remora_reply_failure(take_call(sending), &failure);
    if (sending->qos < 2 || sending->tries == 0)
        forget(sending); /* an identifier of QoS 2 is taken until the server lets go of it */
}

/* --- sending -----------------------------------------------------------------------------------*/

static void
send_message(struct sending *sending)
{
    struct broker *broker = sending->broker;
    const struct remora_publish *message = sending->message;
    if (sending->qos > 0 && sending->id == 0) {
        sending->id = broker_new_id(broker);
        mark_id(broker, sending->id, true);
    }
    const struct packet_publish packet = { .topic = message->topic,
                                           .payload = message->data,
                                           .id = sending->id,
                                           .qos = sending->qos,
                                           .is_again = sending->tries > 0 && sending->qos > 0,
                                           .is_retained = sending->is_retained };
    bool is_put = packet_put_publish(conn_out(broker->conn), &packet);
    assert(is_put); /* broker_publish() has looked */
    sending->tries++;
    if (sending->qos == 0)
        succeed(sending);
}

/* A server that hangs up over a message would hang up for ever. */
static void
send_again(struct sending *sending)
{
    if (sending->call == NULL || sending->is_released)
        packet_put_answer(conn_out(sending->broker->conn), PACKET_PUBREL, sending->id);
    else if (sending->tries >= TRIES_MAX)
        fail(sending, REMORA_UNAVAILABLE, FAILED "the connection was lost each time");
    else
        send_message(sending);
}

void
sendings_on_ready(struct broker *broker)
{
    for (struct sending *sending = broker->sendings, *next; sending != NULL; sending = next) {
        next = sending->next;
        send_again(sending);
    }
}

static struct sending *
find(struct broker *broker, uint16_t id)
{
    struct sending *sending = broker->sendings; /* servers answer in order: it is the first */
    while (sending != NULL && sending->id != id)
        sending = sending->next;
    return sending;
}

void
sendings_on_packet(struct broker *broker, const struct packet *packet)
{
    struct sending *sending = find(broker, packet->id);
    if (packet->type == PACKET_PUBREC) {
        if (sending != NULL && sending->qos == 2)
            sending->is_released = true;
        packet_put_answer(conn_out(broker->conn), PACKET_PUBREL, packet->id);
    } else if (sending != NULL &&
               packet->type == (sending->qos == 1 ? PACKET_PUBACK : PACKET_PUBCOMP)) {
        succeed(sending);
    }
}

/* --- waiting -----------------------------------------------------------------------------------*/

static void
time_is_over(struct sending *sending)
{
    struct broker *broker = sending->broker;
    if (conn_is_ready(broker->conn) || conn_why(broker->conn)[0] == '\0') {
        fail(sending, REMORA_DEADLINE_EXCEEDED, FAILED "context deadline exceeded");
        return;
    }
    static const char words[] = FAILED "context deadline exceeded: no connection to broker: ";
    char *message = remora_call_alloc(sending->call, sizeof words + CONN_WHY_BYTES);
    memcpy(message, words, sizeof words - 1);
    memcpy(message + sizeof words - 1, conn_why(broker->conn), CONN_WHY_BYTES);
    fail(sending, REMORA_UNAVAILABLE, message);
}

bool
sendings_have_call(const struct broker *broker)
{
    for (const struct sending *sending = broker->sendings; sending != NULL; sending = sending->next)
        if (sending->call != NULL)
            return true;
    return false;
}

bool
sendings_sweep(struct broker *broker, uint64_t now_ms)
{
    bool is_any = false;
    for (struct sending *sending = broker->sendings, *next; sending != NULL; sending = next) {
        next = sending->next;
        if (sending->call != NULL && now_ms >= sending->until_ms)
            time_is_over(sending);
        else
            is_any = is_any || sending->call != NULL;
    }
    return is_any;
}

static void
on_cancelled(remora_call *call, void *arg)
{
    struct sending *sending = arg;
    struct broker *broker = sending->broker;
    (void)call;
    time_is_over(sending);
    broker_settle(broker);
}

void
sendings_free(struct broker *broker)
{
    while (broker->sendings != NULL) {
        struct sending *sending = broker->sendings;
        remora_call *call = sending->call != NULL ? take_call(sending) : NULL;
        forget(sending);
        if (call != NULL)
            remora_reply_error(call, REMORA_UNAVAILABLE, FAILED "mqtt client closed");
    }
}

/* --- the operation -----------------------------------------------------------------------------*/

static bool
find_metadata(const struct remora_publish *message, const char *name, struct remora_slice *ret)
{
    return remora_metadata_get(message->metadata, message->metadata_count, name, ret) &&
           ret->len > 0;
}

/* What a message asks for itself. False: the call has been answered. */
static bool
read_wishes(remora_call *call, const struct remora_publish *message, struct sending *ret)
{
    struct remora_slice text;
    int64_t qos;
    if (find_metadata(message, "retain", &text) && !settings_parse_bool(text, &ret->is_retained)) {
        int shown = text.len > TEXT_SHOWN ? TEXT_SHOWN : (int)text.len;
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "mqtt invalid retain %.*s, strconv.ParseBool: parsing \"%.*s\": "
                           "invalid syntax",
                           shown, text.data, shown, text.data);
        return false;
    }
    if (!find_metadata(message, "qos", &text))
        return true;
    if (!remora_parse_i64(text, &qos) || qos < 0 || qos > 2) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "mqtt invalid qos %.*s",
                           text.len > TEXT_SHOWN ? TEXT_SHOWN : (int)text.len, text.data);
        return false;
    }
    ret->qos = (uint8_t)qos;
    return true;
}

/* False: the call has been answered. */
static bool
is_fit(remora_call *call, const struct remora_publish *message)
{
    const char *fault = topic_name_fault(message->topic);
    if (fault == NULL && message->data.len > PAYLOAD_BYTES_MAX)
        fault = FAILED "the message is longer than 64 MiB";
    if (fault != NULL)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", fault);
    return fault == NULL;
}

static bool
is_full(const struct broker *broker, size_t bytes)
{
    return broker->sending_count >= SENDINGS_MAX ||
           (broker->sending_count > 0 && broker->sending_bytes + bytes > SENDING_BYTES_MAX) ||
           (conn_unsent_bytes(broker->conn) > 0 &&
            conn_unsent_bytes(broker->conn) + bytes > SENDING_BYTES_MAX);
}

void
broker_publish(remora_call *call, void *self, const struct remora_publish *message)
{
    struct broker *broker = self;
    struct sending wanted = { .broker = broker,
                              .call = call,
                              .message = message,
                              .until_ms = monotonic_now_ms() + WAIT_MS,
                              .qos = broker->settings.qos,
                              .is_retained = broker->settings.is_retained };
    if (!is_fit(call, message) || !read_wishes(call, message, &wanted))
        return;
    if (is_full(broker, message->data.len)) {
        const struct remora_failure busy = { .code = REMORA_RESOURCE_EXHAUSTED,
                                             .effect = REMORA_EFFECT_NOT_SENT,
                                             .message = FAILED "too many messages wait for the "
                                                               "broker" };
        remora_reply_failure(call, &busy);
        return;
    }
    struct sending *sending = malloc(sizeof *sending);
    if (sending == NULL)
        abort();
    *sending = wanted;
    *broker->sendings_last = sending;
    broker->sendings_last = &sending->next;
    broker->sending_count++;
    broker->sending_bytes += message->data.len;
    bool is_last_word = conn_is_ready(broker->conn) && sending->qos == 0;
    if (conn_is_ready(broker->conn))
        send_message(sending);
    if (is_last_word)
        return;
    broker_watch(broker);
    remora_call_on_cancel(call, on_cancelled, sending); /* which may be at once: nothing follows */
}
