/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configured component of type `pubsub.rabbitmq` or `bindings.rabbitmq`, on the plugin's thread.
 * Two connections, since the server stops reading from one that publishes when it runs short of
 * memory: publisher.h and consumer.h, the latter from the first subscription on.
 */
#ifndef RABBITMQ_PLUGIN_BROKER_H
#define RABBITMQ_PLUGIN_BROKER_H

#include "consumer.h"
#include "publisher.h"

struct broker {
    struct settings settings;
    uint32_t capabilities;
    struct publisher *publisher;
    struct consumer *consumer; /* NULL: nobody has subscribed yet */
    bool has_publisher_ended, has_consumer_ended;
    ev_timer watch; /* that neither thread is stuck */

    remora_call *init; /* to be answered, or NULL */
    bool is_publisher_down, is_consumer_down;
    char consumer_trouble[WHY_BYTES]; /* empty: none */

    size_t letters, letters_bytes; /* not back yet */
    struct intake *intakes;        /* owned */
    remora_call *quiescing;
    bool is_quiet;  /* no more subscriptions */
    bool is_closed; /* freed when both threads have ended */
};

extern const struct remora_pubsub_ops broker_ops;
extern const struct remora_binding_ops binding_ops;

void broker_init(remora_call *call, const struct remora_config *config);
void binding_init(remora_call *call, const struct remora_config *config);
void broker_quiesce(remora_call *call, void *self);
void broker_close(void *self);

/* Something has come to rest. */
void broker_settle(struct broker *broker);
/* Answers `init`. The settings are moved. */
void broker_open(remora_call *call, struct settings settings, uint32_t capabilities);
/* Starts the connection that subscriptions share. False: no thread can be had. */
bool broker_has_consumer(struct broker *broker);

/* publish.c */
/* Moved; answers the call, now or later. NULL: `why`. */
void broker_send(struct broker *broker, remora_call *call, struct letter *letter, const char *why);
void broker_publish(remora_call *call, void *self, const struct remora_publish *message);
void broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                         size_t count, const struct remora_pair *metadata, size_t metadata_count);
/* A letter is back. */
void broker_on_letter(void *self, struct letter *letter);

#endif
