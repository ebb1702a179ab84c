/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection that all subscriptions of a component share, a channel each. It opens them, opens
 * them again when the server, the connection or the channel has gone, and puts messages together.
 */
#ifndef RABBITMQ_PLUGIN_CONSUMER_H
#define RABBITMQ_PLUGIN_CONSUMER_H

#include "intake.h"

struct consumer;

/* All on the plugin's thread. */
struct consumer_events {
    void (*ready)(void *owner);
    void (*lost)(void *owner, const char *why);
    /* The thread has ended. */
    void (*stopped)(void *owner);
};

/* NULL: no thread can be had. */
struct consumer *
consumer_start(const struct settings *settings, const struct consumer_events *events, void *owner);
void consumer_stop(struct consumer *consumer);
/* After `stopped`. */
void consumer_free(struct consumer *consumer);
void consumer_watch(struct consumer *consumer);

enum consumer_verb {
    CONSUMER_OPEN,    /* intake_on_opened() or _refused(), and _lost() at any time */
    CONSUMER_CANCEL,  /* no message arrives any more: intake_on_cancelled() */
    CONSUMER_RELEASE, /* what is not settled goes back to the server: intake_on_released() */
    CONSUMER_ACK,
    CONSUMER_REJECT,  /* it is not wanted: dropped, or a dead letter */
    CONSUMER_REQUEUE, /* somebody else may have it, or we again */
};

/* They are done in the order in which they are said. `envelope` is read for the last three. */
void consumer_say(struct consumer *consumer, enum consumer_verb verb, struct intake *intake,
                  const struct envelope *envelope);

#endif
