/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `pubsub.sqlite` component and its subscriptions. Plugin thread only, except what a job's
 * comment hands to the writer.
 */
#ifndef SQLITE_PLUGIN_PUBSUB_H
#define SQLITE_PLUGIN_PUBSUB_H

#include <ev.h>

#include "database.h"
#include "topic.h"

/* What one subscription is asking of the writer; see subscriber.c. */
struct exchange;

struct subscriber {
    struct subscriber *next;
    struct pubsub *pubsub;
    uint64_t id;
    uint32_t window;
    struct topic_group group;
    char *group_name;     /* owned */
    remora_call *opening; /* subscribe, answered when the group is there */
    remora_call *closing; /* unsubscribe, answered when all is settled */
    bool is_closed;       /* takes nothing in any more */

    uint32_t messages_on_their_way; /* to the sidecar: no verdict yet */
    size_t bytes_on_their_way;
    struct settled *settled, **settled_tail; /* verdicts that the file does not know yet */

    struct exchange *exchange; /* at the writer, or NULL */
    bool has_news;             /* there may be something to claim */
    bool is_clean_due;
    unsigned failures; /* of the writer, one after another */
    ev_timer due;      /* the next claim that comes again; or the next try after a failure */
};

struct pubsub {
    struct store_config config;
    struct topic_rules rules;
    struct database *database;
    struct owner owner;
    char *group_name; /* owned; of subscriptions that name none */
    bool from_start;
    struct subscriber *subscribers;
    remora_call *quiescing;
    ev_timer poll;
    int64_t poll_ms;
    unsigned polls;       /* since the last cleaning */
    int64_t data_version; /* of the file at the last look */
    size_t jobs;          /* at the writer, and messages on their way: each holds this */
    bool is_closed;
    bool is_failing; /* the writer's failures have been logged */
};

extern const struct remora_pubsub_ops pubsub_ops;

void pubsub_init(remora_call *call, const struct remora_config *config);
void pubsub_start(remora_call *call, void *self);
void pubsub_quiesce(remora_call *call, void *self);
void pubsub_close(void *self);

/* One of `jobs` less; frees a closed component that nothing holds. */
void pubsub_unhold(struct pubsub *pubsub);

/* subscriber.c */
void subscriber_open(remora_call *call, void *self, const struct remora_subscription *wanted);
void subscriber_unsubscribe(remora_call *call, void *self, uint64_t id);
/* Takes nothing in any more and settles what is open. */
void subscriber_stop(struct subscriber *subscriber);
/* Does what there is to do, as far as the window allows. */
void subscriber_go_on(struct subscriber *subscriber);
void subscriber_free(struct subscriber *subscriber);
/* Is everything that was on its way settled? */
bool subscriber_is_idle(const struct subscriber *subscriber);

#endif
