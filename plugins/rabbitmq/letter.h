/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message to be published, on its way from the call that brought it to the publisher's thread and
 * back. The plugin's thread makes and frees it and alone knows the call; in between it is the
 * publisher's, except `state`, where the two agree on who was first.
 */
#ifndef RABBITMQ_PLUGIN_LETTER_H
#define RABBITMQ_PLUGIN_LETTER_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdatomic.h>
#include <stdint.h>

#include "settings.h"

enum letter_state {
    LETTER_WAITING,   /* nothing of it has been sent */
    LETTER_AGAIN,     /* it was sent, its connection is lost, and it is to be sent again */
    LETTER_SENT,      /* and not confirmed yet */
    LETTER_ABANDONED, /* nobody waits: it is not to be sent */
};

struct letter {
    struct letter *next;
    _Atomic enum letter_state state;
    amqp_basic_properties_t properties; /* their texts are in `texts` */
    amqp_bytes_t topic, key;            /* too */
    amqp_table_entry_t *headers;        /* owned, their texts too; NULL: none */
    struct remora_bytes data;
    uint64_t deadline_ms; /* monotonic */
    size_t bytes;         /* what it holds, for the bounds */

    /* The publisher's. */
    uint64_t tag;
    unsigned tries;

    /* How it ended, once it is back. */
    bool is_taken;
    enum remora_code code;
    enum remora_effect effect;
    char why[WHY_BYTES];

    /* The plugin's thread's. */
    remora_call *call; /* NULL: it has been answered */
    struct bulk *bulk; /* or NULL */
    size_t index;      /* in it */
    void *owner;

    char texts[];
};

/* NULL: `why` says what is wrong with the message. `more`: metadata for all of a request. */
struct letter *
letter_new(const struct settings *settings, remora_call *call, const struct remora_publish *message,
           const struct remora_pair *more, size_t more_count, char why[WHY_BYTES]);
/* NULL is fine. */
void letter_free(struct letter *letter);
__attribute__((format(printf, 4, 5))) void
letter_fail(struct letter *letter, enum remora_code code, enum remora_effect effect,
            const char *format, ...);

#endif
