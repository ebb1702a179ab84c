/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client of librdkafka, a producer or a consumer, made from settings. It has threads of its own
 * and knows how to connect, authenticate and come back; what it has to say arrives as events on the
 * plugin's loop. Log lines and trouble are dealt with here, all else goes to `on_event`.
 */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include <ev.h>
#include <librdkafka/rdkafka.h>

#include "settings.h"

enum { CLIENT_WHY_BYTES = 512 };

struct client {
    rd_kafka_t *rk;                  /* NULL: closed */
    rd_kafka_queue_t *queue;         /* what there is to say */
    const struct settings *settings; /* borrowed */
    struct gate *gate;               /* what its connections go through; NULL: nothing */
    int wake_fd;                     /* readable when a queue has something */
    ev_io watcher;
    bool is_down;
    bool is_held;             /* events wait: set and cleared by the owner, who polls then */
    rd_kafka_resp_err_t told; /* the latest trouble that was logged */
    ev_tstamp told_at;
    char why[CLIENT_WHY_BYTES]; /* the latest trouble; empty if none */
    void *owner;
    /* An event that is neither log nor error; true: the callee keeps it. */
    bool (*on_event)(void *owner, rd_kafka_event_t *event);
    /* The client cannot reach any server, or is not let in. NULL: nobody cares. */
    void (*on_trouble)(void *owner, bool is_refused);
    /* After each round of events: other queues may have something. NULL: there are none. */
    void (*on_wake)(void *owner);
};

/* False: `why` says what is wrong with the settings. `client` has owner and functions set. */
bool client_open(struct client *client, rd_kafka_type_t type, const struct settings *settings,
                 char why[CLIENT_WHY_BYTES]);
/* Lets go of it at once; it ends in the background, a consumer after leaving its group. */
void client_close(struct client *client);
/* Takes what is there, unless nothing is to be taken now. */
void client_poll(struct client *client);
/* Another queue makes the loop wake as well. */
void client_watch(struct client *client, rd_kafka_queue_t *queue);
/* Something has worked. */
void client_is_well(struct client *client);
/* A line in the log, unless the same trouble was told a moment ago. */
void client_tell(struct client *client, rd_kafka_resp_err_t err, const char *words);
/* Threads of the client look at once whether there is something to do. */
void client_nudge(struct client *client);

/* Trouble in words that the reference would use, where it has any. */
const char *client_words(rd_kafka_resp_err_t err);

#endif
