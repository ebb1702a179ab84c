/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component of pubsub.aws.snssqs: topics of SNS that are published to (publish.c), and one queue,
 * which gets what is published to those that are subscribed (provision.c makes it so) and is read
 * (intake.c). Plugin thread only.
 */
#ifndef AWS_PLUGIN_BROKER_H
#define AWS_PLUGIN_BROKER_H

#include "receiver.h"
#include "snssqs_settings.h"
#include "topics.h"

struct setup;

/* A queue of SQS; texts are owned, NULL: not known yet. */
struct place {
    char *url, *arn;
};

struct subscription {
    struct subscription *next;
    uint64_t id;
    char *name; /* of its topic, as users say it */
    struct topic *topic;
    uint32_t window;
    uint32_t open;       /* messages with the sidecar, or being deleted */
    remora_call *ending; /* nothing new is handed over; NULL: it is not */
};

struct broker {
    struct snssqs_settings settings;
    struct topics topics;
    struct queue queue;
    struct place place, dead; /* of the queue and that of dead letters */
    struct receiver receiver;
    struct subscription *subscriptions;
    struct setup *setups; /* the first is at work: a queue's policy is read and then written */
    uint32_t open;        /* messages of all subscriptions, and those that are deleted unseen */
    bool is_closed;       /* the last one that is open frees it */
    remora_call *quiescing;

    remora_call *starting; /* until its account is known */
    struct query_ask *asking;
};

void broker_free(struct broker *broker);

/* publish.c */
void broker_publish(remora_call *call, void *self, const struct remora_publish *message);
void broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                         size_t count, const struct remora_pair *metadata, size_t metadata_count);

/* provision.c: intake_add() follows. */
void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *subscription);
/* Those that are under way are refused. */
void broker_give_up_setups(struct broker *broker);

/* intake.c */
void intake_init(struct broker *broker);
/* Everything is in place; `subscription` is moved. */
void intake_add(struct broker *broker, struct subscription *subscription);
void subscription_free(struct subscription *subscription);
/* The one that gets what comes from the topic, or NULL. */
struct subscription *intake_find(const struct broker *broker, const struct topic *topic);
void broker_unsubscribe(remora_call *call, void *self, uint64_t id);
/* Nothing new is taken in. */
void intake_close(struct broker *broker);
/* Answers who waits for the end of what is open. True: the broker is gone. */
bool broker_settle(struct broker *broker);

#endif
