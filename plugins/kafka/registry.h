/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schema registry as Confluent's: asked over HTTP for the latest schema of a subject and for the
 * schema of an id. What is asked for by several at a time is asked once; answers are kept, as many
 * as there is room for: those by id for good, the latest of a subject for as long as the settings
 * say. Nothing is kept of failures: who tries again asks again. Plugin thread only.
 */
#ifndef KAFKA_REGISTRY_H
#define KAFKA_REGISTRY_H

#include "avro.h"
#include "settings.h"

struct registry;

struct registry_answer {
    struct avro_schema *schema; /* borrowed; NULL: there is none */
    uint32_t id;                /* of the schema */
    enum remora_code code;      /* why there is none */
    const char *why;
};

typedef void registry_done(const struct registry_answer *answer, void *arg);

/* Who waits for an answer; goes with it. */
struct registry_wait;

/* The settings, which have an address of a registry, are borrowed until registry_close(). */
struct registry *registry_new(const struct settings *settings);
/* Who still waits is told that there is none. NULL is nothing. */
void registry_close(struct registry *registry);

/* `done` follows once: within the call, which then gives NULL, or later, unless it is cancelled.
 * The subject of a topic's values is TOPIC-value. */
struct registry_wait *registry_ask_latest(struct registry *registry, struct remora_slice topic,
                                          registry_done *done, void *arg);
struct registry_wait *
registry_ask_id(struct registry *registry, uint32_t id, registry_done *done, void *arg);
/* Nothing is told any more; NULL is nothing. */
void registry_cancel(struct registry_wait *wait);

#endif
