/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker on streams: one configured component of type `pubsub.redis`. A topic is a stream,
 * publishing appends an entry, all instances of an application are one consumer of one group. Redis
 * keeps what was handed to the consumer as pending until it is acknowledged, and that is all the
 * durability there is: this plugin may be killed at any moment. broker.c has the component's life
 * and publishing, intake.c reads a subscription, handover.c hands over and acknowledges, reclaim.c
 * takes over what stayed pending. All on the plugin's thread.
 *
 *   XREADGROUP → queued → handed over → DONE: acknowledging (XACK) → gone
 *                                     → RETRY: gone, and pending until it is claimed again
 */
#ifndef REDIS_BROKER_H
#define REDIS_BROKER_H

#include <ev.h>

#include "entry.h"
#include "failure.h"
#include "server.h"

struct broker {
    struct server server;
    struct broker_settings settings;
    struct link *link; /* for all that does not wait inside the server */
    bool is_down;

    remora_call *init; /* to be answered, or NULL */
    int64_t retries_left;
    char last_why[CONN_WHY_BYTES]; /* the latest failed attempt of init; empty if none */

    struct intake *intakes; /* owned */
    remora_call *quiescing;
    bool is_quiet; /* nothing new is read */
};

struct entries {
    struct entry *first, **last;
    size_t count, bytes;
};

/* A subscription. */
struct intake {
    struct intake *next;
    struct broker *broker;
    uint64_t id;
    char *stream;            /* owned */
    struct link_place place; /* where the stream is */
    size_t out_max;
    size_t batch_max; /* 1: none */
    uint32_t batch_await_ms;

    remora_call *opening, *closing; /* to be answered, or NULL */
    bool has_group;
    unsigned commands; /* of this subscription that the broker's link carries */

    /* Its own connection, because a read waits inside the server. */
    struct conn *reader;
    int64_t reader_number; /* as the server counts clients; 0: not known */
    bool is_reading;
    bool is_between; /* the stream moves to another server: the reader cannot follow yet */
    ev_timer pause;  /* after a read was refused */
    size_t largest;  /* of the latest entries, in bytes; 0: not known */

    struct entries queued, out, acknowledging;
    struct parcel *parcels; /* what `out` went in */
    ev_timer await;         /* a batch becomes full */
    bool is_batch_due;

    ev_timer reclaim; /* the next round */
    bool is_reclaiming, is_asking;
    char reclaim_from[ENTRY_ID_BYTES];
};

extern const struct remora_pubsub_ops redis_broker_ops;

void redis_broker_init(remora_call *call, const struct remora_config *config);
void redis_broker_quiesce(remora_call *call, void *self);
void redis_broker_close(void *self);

/* Something has come to rest. The caller returns at once. */
void broker_settle(struct broker *broker);
enum { BROKER_WORDS_MAX = 16 };
/* The arguments of a command without binary ones. */
void
broker_words(struct remora_slice args[BROKER_WORDS_MAX], const char *const *words, size_t count);
/* A command about the subscription's stream, over the broker's link. */
bool intake_command(struct intake *intake, const char *const *words, size_t count, uint64_t wait_ms,
                    conn_done *done);

/* --- intake.c ----------------------------------------------------------------------------------*/

void broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted);
void broker_unsubscribe(remora_call *call, void *self, uint64_t id);
/* Without a word to anybody; what is out comes back to nobody. */
void intake_free(struct intake *intake);
/* The broker's link is there. */
void intake_on_ready(struct intake *intake);
/* Nothing is read any more. */
void intake_stop_reading(struct intake *intake);
/* Nothing of it is under way. */
bool intake_is_still(const struct intake *intake);

/* How many more entries it takes. */
size_t intake_room(const struct intake *intake);
bool intake_is_stopped(const struct intake *intake);
/* Queues the entries of a reply. */
void intake_take(struct intake *intake, const struct resp_value *entries);
/* The group is gone: it is made again. */
void intake_lost_group(struct intake *intake);
/* Does what can be done now. The caller returns at once: the subscription may be gone. */
void intake_pump(struct intake *intake);

/* --- handover.c --------------------------------------------------------------------------------*/

void entries_add(struct entries *list, struct entry *entry);
/* It has an entry of that identifier. */
bool intake_has(const struct intake *intake, struct remora_slice id);
/* As many of the queued ones as may be with the sidecar. */
void intake_hand_out(struct intake *intake);
void intake_on_await(struct ev_loop *loop, ev_timer *watcher, int events);
/* Others may claim what is queued at once. */
void intake_give_back(struct intake *intake);
/* What is with the sidecar comes back to nobody. */
void intake_forget_entries(struct intake *intake);

/* --- reclaim.c ---------------------------------------------------------------------------------*/

/* Begins a round, and one after each interval. */
void reclaim_start(struct intake *intake);
void reclaim_stop(struct intake *intake);
/* One more step of a round, if one is due and there is room. */
void reclaim_step(struct intake *intake);

#endif
