/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges and queues as the reference names and declares them, so that its sidecars and ours
 * share them: a topic is an exchange of its name; a subscription is a queue `CONSUMER-TOPIC` bound
 * to it; what cannot be handled goes to the exchange `dlx-QUEUE` and the queue `dlq-QUEUE`. A
 * binding is a queue.
 */
#ifndef RABBITMQ_PLUGIN_TOPOLOGY_H
#define RABBITMQ_PLUGIN_TOPOLOGY_H

#include "session.h"

/* A subscription's queue. */
struct feed {
    char *topic, *queue;            /* owned */
    char *routing_keys;             /* owned; with commas */
    const char *type;               /* "classic" or "quorum" */
    int64_t max_priority;           /* 0: no priorities */
    int64_t max_len, max_len_bytes; /* 0: the component's */
    bool is_single_active;
    uint16_t prefetch;
};

/* From a subscription's metadata. False: `why` says why not, and there is nothing to free. */
bool feed_init(struct feed *feed, const struct settings *settings,
               const struct remora_subscription *wanted, char why[WHY_BYTES]);
/* The queue of a binding. */
void feed_init_binding(struct feed *feed, const struct settings *settings, uint32_t window);
void feed_fini(struct feed *feed);

/* Name of an exchange or queue that goes with a queue. False: too long. */
bool dead_letter_name(const char *prefix, const char *queue, char ret[NAME_BYTES_MAX + 1]);

/* --- on a session's thread ---------------------------------------------------------------------*/

/* The exchange of a topic is there. False as session_answered(). */
bool declare_exchange(struct session *session, const struct settings *settings, uint16_t channel,
                      amqp_bytes_t topic, char why[WHY_BYTES]);
/* So is the queue of a binding. */
bool declare_binding_queue(struct session *session, const struct settings *settings,
                           uint16_t channel, char why[WHY_BYTES]);
/* Opens the channel, declares all there is, and begins to consume. False as session_answered(). */
bool feed_open(struct session *session, const struct settings *settings, const struct feed *feed,
               uint16_t channel, char why[WHY_BYTES]);

#endif
