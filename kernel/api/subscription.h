/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application wants to get of a broker, whichever of the three ways it said so: a document
 * (declarative), its answer at the start (programmatic), or an open stream. A topic_spec says what
 * is wanted and never changes; a subscription is one that a plugin has been asked for, known by a
 * number while messages for it may come.
 */
#ifndef API_SUBSCRIPTION_H
#define API_SUBSCRIPTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/request.h"
#include "base/arena.h"
#include "base/slice.h"

struct cel_program;
struct gather;
struct link;
struct outbox_route;
struct subscription;

/* Of two that want one topic of one broker the later one in this list wins. Internal ones are the
 * kernel's own: not the application's, so they are neither listed as such nor under its scopes. */
enum topic_kind { TOPIC_DECLARATIVE, TOPIC_PROGRAMMATIC, TOPIC_STREAMING, TOPIC_INTERNAL };

struct topic_rule {
    struct slice match;                /* as it was written; empty: always */
    const struct cel_program *program; /* NULL: always */
    struct slice path;
};

/* Counted; immutable once it has been handed on. Everything lives in its arena. */
struct topic_spec {
    atomic_uint refs;
    struct arena arena;
    enum topic_kind kind;
    struct slice name; /* of the document; empty for others */
    struct slice pubsub;
    struct slice topic;
    const struct pair *metadata;
    size_t metadata_count;
    struct topic_rule *rules; /* in order; the default is the last, without a program */
    size_t rule_count;
    struct slice dead_letter_topic; /* empty: none */
    bool is_raw;
    bool is_bulk;
    uint32_t bulk_messages_max;
    uint32_t bulk_await_ms;
    const struct outbox_route *outbox; /* of an inner topic of an outbox: whose; else NULL */
};

/* One reference, empty but for the kind. */
struct topic_spec *topic_spec_new(enum topic_kind kind);
struct topic_spec *topic_spec_ref(struct topic_spec *spec);
void topic_spec_unref(struct topic_spec *spec); /* NULL is nothing */
/* Copies the metadata and reads from it what the kernel acts on itself (rawPayload). */
void topic_spec_set_metadata(struct topic_spec *spec, const struct pair *pairs, size_t count);
/* Whether they want the same in the same way. */
bool topic_spec_equal(const struct topic_spec *a, const struct topic_spec *b);

/* --- messages ----------------------------------------------------------------------------------*/

enum verdict {
    VERDICT_SUCCESS, /* handled */
    VERDICT_DROP,    /* not wanted: done with it, or to the dead letters */
    VERDICT_RETRY,   /* not handled: the broker is to deliver it again, or to the dead letters */
};

/* As it came from the broker. */
struct pubsub_message {
    struct slice id; /* of the broker; may be empty */
    struct slice topic;
    struct slice content_type;
    const struct pair *metadata;
    size_t metadata_count;
    struct slice data;
};

/* As whoever takes it is given it. */
struct topic_event {
    struct slice id;     /* of the event; may be empty */
    struct slice packed; /* TopicEventRequest */
};

/* Who gets the messages of a subscription instead of the application; one of the two functions. */
struct topic_taker {
    /* Takes one event to whoever wants it; it has been unwrapped, is tried again under the inbound
     * policy, and buried if there is a topic for that. ERR_CLOSED: nobody is there, and nobody has
     * seen it. Suspends. */
    err_t (*take)(struct request *rq, struct subscription *subscription,
                  const struct topic_event *event, enum verdict *ret_verdict);
    /* Decides alone what becomes of one message: nothing else is done with it, and nothing counted.
     * Suspends. */
    enum verdict (*judge)(struct request *rq, struct subscription *subscription,
                          const struct pubsub_message *message);
};

/* Counted; any thread. */
struct subscription {
    atomic_uint refs; /* first: see api/numbered.h */
    uint64_t id;
    struct topic_spec *spec;         /* counted */
    const struct topic_taker *taker; /* constant; NULL: the application gets it by its rules */
    const struct link *link;         /* that may deliver; compared, never followed */
    bool gathers;                    /* the broker has no batches, so they are made here */
    atomic_bool is_closing; /* set by worker 0: nothing more comes, so nothing is waited for */
    struct gather *gather;  /* a batch that is being filled, on the worker of the link; or NULL */
};

/* A new one that subscription_find() knows; one reference. Counts the spec. */
struct subscription *
subscription_new(struct topic_spec *spec, const struct topic_taker *taker, const struct link *link);
/* How many messages of it go together; those that wait in the kernel take a task each. */
uint32_t subscription_batch_max(const struct topic_spec *spec, bool gathers);
/* No further message can be for it. */
void subscription_retire(struct subscription *subscription);
/* NULL if there is none of that number; one reference. */
struct subscription *subscription_find(uint64_t id);
void subscription_unref(struct subscription *subscription); /* NULL is nothing */

#endif
