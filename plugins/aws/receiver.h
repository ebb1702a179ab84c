/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a queue as they come, asked for in long polls, one at a time. When that fails it is
 * tried again, later each time. Plugin thread only.
 */
#ifndef AWS_PLUGIN_RECEIVER_H
#define AWS_PLUGIN_RECEIVER_H

#include <ev.h>

#include "queue.h"

enum { RECEIVER_MESSAGES_MAX = 10 /* of one answer: the service's limit */ };

/* What is above `is_open` is set by the caller, before receiver_init(). */
struct receiver {
    struct queue *queue;   /* outlives it */
    const char *name;      /* of who reads, in the log */
    uint32_t wait_s;       /* of a poll */
    uint32_t visibility_s; /* 0: as the queue says */
    /* How many more may come now. */
    uint32_t (*room)(void *arg);
    /* One that has come, borrowed; after the last of an answer it is asked for more. */
    void (*take)(const cJSON *message, void *arg);
    void *arg;

    bool is_open;
    struct queue_ask *asking; /* NULL: nobody asks */
    uint32_t asked;           /* for so many */
    ev_timer pause;           /* before the next time, after a failure */
    uint64_t pause_ms;
};

void receiver_init(struct receiver *receiver);
/* From now on, or there is room again. */
void receiver_open(struct receiver *receiver);
void receiver_ask(struct receiver *receiver);
/* What is on its way here is given again when its visibility timeout is over. Twice is once. */
void receiver_close(struct receiver *receiver);

#endif
