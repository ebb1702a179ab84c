/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message that the server has delivered.
 */
#ifndef RABBITMQ_PLUGIN_DELIVERY_H
#define RABBITMQ_PLUGIN_DELIVERY_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdint.h>

#include "../shared/memory.h"

struct intake;

/* What comes before its header. */
struct envelope {
    uint64_t tag;
    uint32_t epoch; /* of the channel */
    bool is_redelivered;
};

struct delivery {
    struct delivery *next, **at; /* in the list that it is in */
    struct intake *intake;       /* NULL: it is gone */
    struct envelope envelope;
    uint64_t due_ms; /* it is given back */
    struct remora_message message;
    struct remora_pair *pairs; /* owned, with `texts` */
    char *texts;               /* owned */
    size_t len, size;          /* of the body, so far and in the end */
    char *body;                /* owned */
};

/* What of it becomes metadata, as the reference does it. */
enum delivery_view {
    DELIVERY_BARE,
    DELIVERY_PROPERTIES, /* and headers, as `metadata.NAME` */
    DELIVERY_HEADERS,    /* that are texts: of a binding */
};

/* The body follows. */
struct delivery *
delivery_new(struct intake *intake, struct envelope envelope,
             const amqp_basic_properties_t *properties, uint64_t size, enum delivery_view view);
/* False: it is more than there was to come. True with len == size: it is whole. */
bool delivery_append(struct delivery *delivery, amqp_bytes_t piece);
/* NULL is fine. */
void delivery_free(struct delivery *delivery);

#endif
