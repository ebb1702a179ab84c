/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: a queue of letters in front of a connection. Letters wait while there is none, and
 * while the server takes nothing; several are on their way at a time, and one is done when the
 * server has confirmed it (or, without confirmations, once it is sent). What was not confirmed
 * when a connection or its channel went is sent again, so that it may arrive twice.
 */
#ifndef RABBITMQ_PLUGIN_PUBLISHER_H
#define RABBITMQ_PLUGIN_PUBLISHER_H

#include "letter.h"
#include "session.h"

struct publisher;

/* All on the plugin's thread. */
struct publisher_events {
    void (*ready)(void *owner);
    void (*lost)(void *owner, const char *why);
    /* A letter is back: it is the owner's. */
    void (*done)(void *owner, struct letter *letter);
    /* All letters are back, the thread has ended. */
    void (*stopped)(void *owner);
};

/* NULL: no thread can be had. */
struct publisher *publisher_start(const struct settings *settings,
                                  const struct publisher_events *events, void *owner);
/* Moved. */
void publisher_send(struct publisher *publisher, struct letter *letter);
void publisher_stop(struct publisher *publisher);
/* After `stopped`. */
void publisher_free(struct publisher *publisher);
void publisher_watch(struct publisher *publisher);
/* Why letters wait, or "". */
const char *publisher_trouble(const struct publisher *publisher);

#endif
