/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker on Kafka: one configured component of type `pubsub.kafka` or `bindings.kafka`.
 * Publishing is answered when the servers have the record for good. All subscriptions are one
 * member of one consumer group; what the group has done with a partition is an offset in Kafka, and
 * that is all the durability there is: this plugin may be killed at any moment. broker.c has the
 * component's life, publish.c what goes out, group.c membership and partitions that come and go,
 * partition.c a partition's records on their way to the sidecar, values.c what is Avro among them.
 * A binding (binding.c) publishes to one topic, and what it reads are subscriptions to all of its
 * topics. All on the plugin's thread;
 * librdkafka has its own.
 *
 *   fetched by librdkafka → queued → out → DONE: gone, its offset stored when all before it are
 *                              ↑______| RETRY: after a while
 */
#ifndef KAFKA_BROKER_H
#define KAFKA_BROKER_H

#include "chore.h"
#include "client.h"
#include "headers.h"
#include "registry.h"

struct broker {
    struct broker *next;
    uint32_t capabilities;
    bool is_binding;           /* what it has are events, from subscriptions of one reading */
    size_t events, events_max; /* with the sidecar */
    struct settings settings;
    struct client producer;
    struct registry *registry; /* of schemas; NULL: none */

    remora_call *init; /* to be answered, or NULL */
    ev_timer init_end; /* no server was to be reached for a while */

    struct client consumer; /* from the first subscription on */
    struct intake *intakes; /* owned */
    uint64_t intakes_made;
    struct partition *partitions; /* ours */
    struct partition *gone;       /* that were ours, with something out */
    enum group_state {
        GROUP_OUT,       /* no member */
        GROUP_STEADY,    /* a member, or on the way to be one */
        GROUP_ASSIGNING, /* where partitions begin is found out */
        GROUP_REVOKING,  /* what is out comes back */
    } group_state;
    ev_timer revoke_end; /* it does not come back in time */
    /* The partitions that go, where others stay; owned. NULL: all go. */
    rd_kafka_topic_partition_list_t *leaving;
    ev_timer look; /* a consumer that does not look is put out of its group */

    remora_call *quiescing;
    bool is_quiet;   /* nothing new is handed over */
    bool is_closed;  /* freed when no chore is left */
    unsigned chores; /* whose `done` is still to come */
};

/* A call that is answered when the last of several subscriptions has come, or gone. In its own
 * memory. */
struct waiting {
    remora_call *call;
    size_t left;
};

/* A subscription. */
struct intake {
    struct intake *next;
    struct broker *broker;
    uint64_t id;     /* what deliveries are told; several may have it, of one reading */
    uint64_t serial; /* its own */
    char *topic;     /* owned */
    size_t out, out_max;
    size_t batch_max; /* 1: none */
    uint32_t batch_await_ms;
    bool is_avro; /* values are, and are handed over as JSON */

    struct waiting *opening, *closing; /* or NULL. Nothing is handed over before it is open */
    bool is_open;                      /* others of its reading may still be opening */
    ev_timer opening_end;              /* it is open although it has no partition */
    bool is_known;                     /* the topic is there, or it need not be waited for */
    bool is_looking;                   /* a chore asks */
    ev_timer look;
};

enum record_state { RECORD_QUEUED, RECORD_OUT, RECORD_DONE };

/* One message of a partition. */
struct record {
    struct record *next;
    rd_kafka_event_t *event;           /* owned; has the message; NULL once it is done */
    const rd_kafka_message_t *message; /* likewise */
    int64_t offset;
    size_t bytes;
    int64_t tries;
    enum record_state state;
    struct avro_schema *schema; /* of its value, once it is known; counted */
    struct avro_bytes json;     /* its value while it is handed over */
};

struct partition {
    struct partition *next;
    struct broker *broker;
    char *topic; /* owned */
    int32_t number;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *handle; /* offsets are stored with */
    size_t fetched_most;      /* the longest that the queue was since threads were nudged */

    struct record *first, **last; /* in their order, from the oldest that is not done */
    size_t count, bytes;          /* of those that are not done */
    size_t done;                  /* behind one that is not */
    size_t out;
    int64_t retry_ms;             /* the latest wait; 0: none yet */
    ev_timer retry;               /* what was refused holds up all of the partition */
    ev_timer await;               /* a batch becomes full */
    struct registry_wait *asking; /* for the schema of: */
    struct record *asked;
    bool is_batch_due;
    bool is_revoked; /* nothing more is handed over */
    bool is_gone;    /* not ours any more: freed with the last that is out */
};

extern const struct remora_pubsub_ops kafka_broker_ops;
extern const struct remora_binding_ops kafka_binding_ops;

void kafka_broker_init(remora_call *call, const struct remora_config *config);
void kafka_binding_init(remora_call *call, const struct remora_config *config);
void kafka_broker_quiesce(remora_call *call, void *self);
void kafka_broker_close(void *self);
/* At the end of the process. */
void kafka_brokers_leave(void);

/* Answers `init`. The settings are moved. */
void broker_open(remora_call *call, struct settings settings, uint32_t capabilities);
/* Something has come to rest. The caller returns at once. */
void broker_settle(struct broker *broker);
/* A chore of the broker has come back. True: the broker is gone. */
bool broker_chore_is_over(struct broker *broker);

/* --- publish.c ---------------------------------------------------------------------------------*/

void broker_publish(remora_call *call, void *self, const struct remora_publish *message);
void broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                         size_t count, const struct remora_pair *metadata, size_t metadata_count);
/* Delivery reports. */
void broker_on_reports(struct broker *broker, rd_kafka_event_t *event);

/* --- group.c -----------------------------------------------------------------------------------*/

void broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted);
void broker_unsubscribe(remora_call *call, void *self, uint64_t id);
/* One of the subscriptions that a call asks for. The topic is moved. */
struct intake *group_add(struct broker *broker, uint64_t id, char *topic, struct waiting *opening);
/* Ends those of an id; false: there are none. */
bool group_end(struct broker *broker, uint64_t id, remora_call *call);
/* What is out has become less. */
void group_settle(struct broker *broker);
/* Without a word to anybody; what is out comes back to nobody. */
void group_free(struct broker *broker);
/* The open subscription of a topic, or NULL. */
struct intake *group_intake(const struct broker *broker, const char *topic);

/* --- partition.c -------------------------------------------------------------------------------*/

struct partition *partition_new(struct broker *broker, const char *topic, int32_t number);
/* Nothing more of it is handed over; what is out may still be stored. */
void partition_revoke(struct partition *partition);
/* It belongs to somebody else. May free it. */
void partition_forget(struct partition *partition);
/* The broker goes away: nothing of it is touched any more, and what comes back is dropped. */
void partition_abandon(struct partition *partition);
/* Keeps the event, whose message it is. */
void partition_take(struct partition *partition, rd_kafka_event_t *event,
                    const rd_kafka_message_t *message);
/* Does what can be done now. */
void partition_pump(struct partition *partition);
/* One that cannot be handed over: it is tried again, or skipped, as if the application had refused
 * it. Who calls does not touch the record again. */
void partition_refuse(struct partition *partition, struct record *record, const char *why);

/* --- values.c ----------------------------------------------------------------------------------*/

/* Makes JSON of records that are Avro, up to the first that cannot be: how many are ready. With 0
 * the first one has been refused or its schema is asked for; the partition is pumped later. */
size_t values_read(struct partition *partition, struct record *first, size_t count);
/* Nothing is asked for any more. */
void values_forget(struct partition *partition);

#endif
