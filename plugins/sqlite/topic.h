/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL of messages, consumer groups and claims. Everything here runs within a transaction of
 * group.c, on the writer's thread.
 *
 * A group has a cursor: messages up to it have been handed out. One that was handed out and is not
 * settled is a claim, due again at a time: when its lease ends, or when a refused one is to be
 * tried again. A message is deleted when it is behind every cursor of its topic and nobody claims
 * it.
 */
#ifndef SQLITE_PLUGIN_TOPIC_H
#define SQLITE_PLUGIN_TOPIC_H

#include "connection.h"
#include "owner.h"

/* What a component says about its messages. */
struct topic_rules {
    const char *table;
    int64_t lease_ms; /* 0: until its process has gone */
    int64_t redeliver_ms;
    int64_t retention_ms; /* a message is kept so long although all groups have it */
    int64_t age_max_ms;   /* and at most so long although they have not; 0: any */
};

/* Where a subscription stands: it belongs to one group of one topic. */
struct topic_group {
    int64_t id; /* 0: not known yet */
    char *topic;
    const char *name;
    bool from_start;
};

/* A claimed message. */
struct letter {
    struct letter *next;
    int64_t id;
    int64_t attempts; /* before this one */
    struct remora_slice content_type;
    struct remora_slice data;
    struct remora_pair *metadata; /* all of these behind the struct */
    size_t metadata_count;
};

enum settlement { SETTLE_DONE, SETTLE_RETRY, SETTLE_RELEASE /* it was not tried */ };

struct settled {
    struct settled *next;
    int64_t id, attempts;
    enum settlement how;
};

struct claim_wish {
    const struct topic_rules *rules;
    const struct topic_group *group;
    const struct owner *owner;
    const struct settled *settled;
    size_t messages_max, bytes_max; /* 0: settle only; one message may be larger than the bytes */
    bool clean;                     /* look for owners that have gone and for what is old */
};

struct claimed {
    struct letter *letters;
    size_t count, bytes;
    bool is_partial;     /* there may be more than was taken */
    int64_t next_due_ms; /* Unix time when a claim is due again; 0: none is */
};

struct failure *topic_publish(struct connection *connection, const struct topic_rules *rules,
                              const struct remora_publish *message);

/* Makes the group if it is not there and finds its id. */
struct failure *topic_join(struct connection *connection, const struct topic_rules *rules,
                           struct topic_group *group);

/* Settles, then claims. On failure *ret_claimed is left for topic_claimed_fini(). */
struct failure *topic_exchange(struct connection *connection, const struct claim_wish *wish,
                               struct claimed *ret_claimed);
void topic_claimed_fini(struct claimed *claimed);

/* Deletes messages that are too old for anybody. */
struct failure *topic_expire(struct connection *connection, const struct topic_rules *rules);

#endif
