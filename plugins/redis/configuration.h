/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `configuration.redis` component: strings of a database, as `value||version`, and who watches
 * them. Changes are heard of by keyspace notifications, on connections of their own: one to each
 * server, since a server tells only of its own keys. What a key holds then is read over the link
 * that get() uses, so that values never go back. A watcher only keeps the names of the keys that it
 * has not told yet.
 *
 * configuration.c is the life of a component and reading, keyspace.c is watching, ears.c is
 * hearing.
 */
#ifndef REDIS_CONFIGURATION_H
#define REDIS_CONFIGURATION_H

#include <ev.h>

#include "server.h"

enum {
    CONFIGURATION_KEYS_MAX = 65536, /* of one answer */
    CONFIGURATION_BYTES_MAX = 7 << 20,
    CONFIGURATION_KEYS_A_TIME = 128,     /* read and told together */
    CONFIGURATION_KEYS_DIRTY_MAX = 4096, /* of one watcher; then all are read anew */
    CONFIGURATION_CHANNELS_MAX = 1024,   /* of one watcher; then it listens to all keys */
    CONFIGURATION_WATCHERS_MAX = 4096,
};

struct keyspace_watcher {
    struct keyspace_watcher *next;
    struct configuration *configuration;
    uint64_t id;
    struct remora_slice *keys; /* owned, sorted; NULL: all */
    size_t key_count;
    void *dirty; /* a tree of struct remora_slice *, keys that have changed */
    size_t dirty_count;
    bool must_read; /* changes may have been missed */
    bool is_open;   /* the sidecar knows of it */
    bool is_busy;   /* a reading or a telling is under way */
    bool is_gone;   /* freed when it is not busy any more */
    ev_timer retry;
    struct remora_slice *batch; /* keys that are being read; owned */
    size_t batch_count;
};

struct configuration {
    struct server server;
    struct link *link;
    struct ear *ears; /* keyspace notifications; NULL: nobody has subscribed yet */
    struct keyspace_watcher *watchers;
    size_t watcher_count;
    size_t holds; /* tellings under way */
    ev_timer ping;
    bool is_down;
    bool is_closed;
    remora_call *init; /* to be answered, or NULL */
    int64_t retries_left;
    char last_why[CONN_WHY_BYTES]; /* the latest failed attempt of init; empty if none */
};

void redis_configuration_init(remora_call *call, const struct remora_config *config);
void redis_configuration_close(void *self);
extern const struct remora_configuration_ops redis_configuration_ops;

/* "value||version||…": the rest is nobody's. */
void configuration_split(struct remora_slice text, struct remora_configuration_item *ret_item);
/* MGET of at most CONFIGURATION_KEYS_A_TIME keys. False: too much is queued. */
bool configuration_mget(struct configuration *configuration, const struct remora_slice *keys,
                        size_t count, uint64_t wait_ms, conn_done *done, void *arg);
int configuration_compare_keys(const void *a, const void *b);
/* One of `holds` less; frees a closed component that nothing holds. */
void configuration_unhold(struct configuration *configuration);

/* keyspace.c */
void
keyspace_subscribe(remora_call *call, void *self, const struct remora_configuration_query *query);
void keyspace_unsubscribe(remora_call *call, void *self, uint64_t id);
/* The link for reading is there again. */
void keyspace_go_on(struct configuration *configuration);
/* A key has changed. */
void keyspace_heard(struct configuration *configuration, struct remora_slice key);
/* Changes may have been missed. */
void keyspace_read_anew(struct configuration *configuration);
bool keyspace_is_watched(const struct keyspace_watcher *watcher, struct remora_slice key);
/* No telling is under way, and nothing hears. */
void keyspace_free(struct configuration *configuration);

/* ears.c */
/* Listens for what the watcher watches; `done` follows when all servers notify that can be told to,
 * and all that answer have heard: a result without a reply if none did. */
void ears_open(struct configuration *configuration, const struct keyspace_watcher *watcher,
               uint64_t wait_ms, conn_done *done, void *arg);
/* The watcher is in the list no more. */
void ears_close(struct configuration *configuration, const struct keyspace_watcher *watcher);
/* There are other servers: to be called whenever the link says so. */
void ears_follow(struct configuration *configuration);
void ears_free(struct configuration *configuration);

#endif
