/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subscription and its messages. The consumer's thread fills a channel of its own for each; the
 * plugin's thread hands over and decides; what crosses is named below.
 *
 *   server → arriving → (thread) → queued → out → DONE: ack
 *                                               → RETRY: nack, given back or not as configured
 *
 * Nothing is acknowledged before its verdict (but with `autoAck`), so a connection, plugin or
 * sidecar that dies loses nothing of a durable queue.
 */
#ifndef RABBITMQ_PLUGIN_INTAKE_H
#define RABBITMQ_PLUGIN_INTAKE_H

#include <ev.h>

#include "delivery.h"
#include "topology.h"

struct broker;

struct deliveries {
    struct delivery *first, **last;
    size_t count;
};

enum intake_phase {
    INTAKE_IDLE,      /* to be opened, when its time has come */
    INTAKE_OPEN,      /* its consumer is there */
    INTAKE_CANCELLED, /* it will not be opened any more; its channel may be there */
};

struct intake {
    struct intake *next; /* of the broker */
    struct feed feed;    /* set before the thread knows it, and kept */

    /* The plugin's thread. */
    struct broker *broker;
    uint64_t id;
    size_t out_max;
    remora_call *opening, *closing; /* to be answered, or NULL */
    bool is_stopping;               /* it takes nothing new */
    bool is_cancelled;              /* nothing arrives any more */
    bool is_releasing, is_released; /* its channel is being closed, is closed: the last steps */
    bool is_forgotten;              /* nobody asks for it: freed with the last step */
    bool is_open;                   /* its queue is there and consumed */
    bool is_refused;                /* that it cannot be opened again has been logged */
    struct deliveries queued, out;
    struct deliveries delayed, refused; /* to be given back, to be rejected, when they are due */
    ev_timer delay;

    /* The consumer's thread. */
    struct intake *next_active; /* of the consumer */
    enum intake_phase phase;
    bool has_channel;
    uint16_t channel;
    uint32_t channel_epoch; /* counts channels: tags of an earlier one mean nothing */
    uint64_t retry_at_ms;
    int64_t retry_ms;
    struct delivery *arriving; /* its header is there, its body not yet whole */
    struct envelope envelope;  /* of the delivery whose header is to come */
    bool has_envelope;
    uint64_t body_left; /* of a message that is skipped, or of `arriving` */
};

/* All on the plugin's thread. */
void broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted);
/* A subscription to the queue of a binding. */
void broker_read(remora_call *call, void *self, uint64_t reading, uint32_t window);
void broker_stop(remora_call *call, void *self, uint64_t reading);
void broker_unsubscribe(remora_call *call, void *self, uint64_t id);

/* Takes nothing new, gives back what it has; is_released when what is out has been answered. */
void intake_stop(struct intake *intake);
/* Without more ado: the connection ends, and what is not acknowledged is the server's again. */
void intake_close(struct intake *intake);
/* The thread has ended. Lets go of messages that are with the sidecar. */
void intake_free(struct intake *intake);
void deliveries_init(struct deliveries *list);
void deliveries_add(struct deliveries *list, struct delivery *delivery);
void deliveries_remove(struct deliveries *list, struct delivery *delivery);

/* What the consumer tells. */
void intake_on_opened(struct intake *intake);
void intake_on_refused(struct intake *intake, const char *why);
/* What that channel has delivered is the server's again. */
void intake_on_lost(struct intake *intake, uint32_t epoch);
void intake_on_cancelled(struct intake *intake);
void intake_on_released(struct intake *intake);
void intake_on_arrived(struct intake *intake, struct delivery *delivery);

#endif
