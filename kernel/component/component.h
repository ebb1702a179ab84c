/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component as one worker sees it: its facts, and the link that leads to it now. The main thread
 * publishes and withdraws by message (see host.h), so nothing here needs a lock; a call in flight
 * keeps the link it began with.
 *
 * Worker thread only, except what is said of struct component_facts.
 */
#ifndef COMPONENT_COMPONENT_H
#define COMPONENT_COMPONENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "async/gate.h"
#include "async/latch.h"
#include "async/task.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"
#include "bus/bus.h"
#include "component/binding_facts.h"
#include "component/encryption.h"
#include "component/outbox_route.h"
#include "component/topic_scopes.h"

/* The category is what stands before the first dot of a type. */
enum component_kind {
    COMPONENT_STATE,
    COMPONENT_SECRETS,
    COMPONENT_PUBSUB,
    COMPONENT_CONFIGURATION,
    COMPONENT_LOCK,
    COMPONENT_CRYPTO,
    COMPONENT_BINDING,
    COMPONENT_CONVERSATION,
    COMPONENT_MIDDLEWARE,
    COMPONENT_NAMES, /* the resolver of other sidecars' addresses: one, made of the Configuration */
    COMPONENT_TEST,  /* the conformance kit's `test.*` */
    COMPONENT_KINDS,
};

/* False for a category this build does not serve. */
bool component_kind_of(struct slice type, enum component_kind *ret_kind);

/* The contract's capability numbers as bits. */
enum component_capability {
    CAN_ETAG = 1u << 1,
    CAN_TRANSACT = 1u << 2,
    CAN_QUERY = 1u << 3,
    CAN_TTL = 1u << 4,
    CAN_DELETE_PREFIX = 1u << 5,
    CAN_KEYS_LIKE = 1u << 6,
    HAS_MANY_VALUES_PER_SECRET = 1u << 7,
    CAN_MESSAGE_TTL = 1u << 8, /* pub/sub: the broker drops what has expired */
    CAN_WILDCARDS = 1u << 9,   /* a subscription's topic may be a pattern */
    CAN_BULK_PUBLISH = 1u << 10,
    CAN_BULK_SUBSCRIBE = 1u << 11,
    IS_INPUT_BINDING = 1u << 12,
    IS_OUTPUT_BINDING = 1u << 13,
    READS_REQUEST_BODY = 1u << 14, /* middleware: it sees more of a request than its head */
};

/* As the metadata API names them, in the reference's order. Returns how many. */
enum { COMPONENT_CAPABILITY_NAMES = 13 };
size_t component_capability_names(uint32_t capabilities,
                                  const char *ret_names[COMPONENT_CAPABILITY_NAMES]);

/* What is known of one generation of a component. Immutable once published, counted, any thread:
 * by each worker's table, and by every call of that generation until it is over. */
struct component_facts {
    atomic_uint refs;
    struct latch *gone; /* counted; opens when the last reference is given back. May be NULL */
    enum component_kind kind;
    struct slice name; /* these belong to the struct */
    struct slice type;
    struct slice version;
    struct slice key_prefix;   /* state: what stands before every key, with the separator */
    struct slice topic_prefix; /* pub/sub: stands before every topic at the broker */
    uint32_t generation;
    uint32_t handle; /* within its plugin process */
    uint32_t capabilities;
    uint32_t operations_max;       /* of one transaction; 0: no limit */
    struct topic_scopes scopes;    /* pub/sub */
    struct binding_facts binding;  /* bindings */
    struct encryption *encryption; /* state: counted; NULL: values are stored as they are */
    struct outbox_route outbox;    /* state */
    uint64_t prompt_ttl_ms;        /* conversation: answers may be given again for so long */
};

/* Copies the texts, counts `encryption`; takes over the reference to `gone`. */
struct component_facts *component_facts_new(const struct component_facts *from);
struct component_facts *component_facts_ref(struct component_facts *facts);
void component_facts_unref(struct component_facts *facts);

struct component {
    unsigned refs; /* the table's and those of requests */
    bool is_removed;
    struct component_facts *facts; /* counted */
    struct link *link;             /* counted; NULL while the plugin is away */
    struct latch *writes;          /* counted by us and by writes under way; NULL: they are held */
    const char *away_reason;       /* constant text; why link is NULL */
    struct list waiters;           /* tasks waiting for the link, or to write */
    struct gate suspects;          /* lets one at a time repeat what was lost with its plugin */
};

/* Somebody who is told that a component or its link is another. May suspend nothing, and may not
 * come or go while it is told. */
struct component_watcher {
    struct list link;
    void (*on_change)(struct component_watcher *watcher);
};

struct component_table {
    struct map by_name;
    size_t kind_count[COMPONENT_KINDS];
    struct gate starting; /* closed for good once all have been started, or have failed to */
    struct list watchers; /* struct component_watcher */
    struct list retiring; /* of exchange.c: those that wait for their turn to be closed */
    size_t retiring_count;
};

/* Not starting. */
void component_table_init(struct component_table *table);
/* Components are going to be started for the first time: who asks for one waits for all. Twice is
 * once, for the second too. */
void component_table_starting(struct component_table *table);
void component_table_started(struct component_table *table);
void component_table_fini(struct component_table *table);

/* NULL if there is none of that name and kind. Valid until the next suspension; what needs it for
 * longer takes a reference. */
struct component *
component_find(const struct component_table *table, enum component_kind kind, struct slice name);
/* Likewise, but if there is none while they are started, that is waited for. Suspends. */
struct component *component_await(struct task *t, struct component_table *table,
                                  enum component_kind kind, struct slice name);

struct component *component_ref(struct component *component);
void component_unref(struct component *component);

/* Adds it, or switches to another generation or link; wakes who waits for it. Counts all three.
 * `writes` is held by every write that begins from now on; NULL lets writes wait for
 * component_release(), bounded like the wait for a plugin. */
void component_publish(struct component_table *table, struct component_facts *facts,
                       struct link *link, struct latch *writes);
/* Writes that have not begun wait, and our hold of the latch of those that have is given up. */
void component_hold(struct component_table *table, struct slice name);
/* They go on, counted by `writes`. */
void component_release(struct component_table *table, struct slice name, struct latch *writes);
/* The link is gone or the plugin is leaving; calls wait for a successor. No effect if the component
 * has moved on to another link. `reason` is a constant. */
void component_detach(struct component_table *table, struct slice name, const struct link *link,
                      const char *reason);
/* The component is no more. */
void component_remove(struct component_table *table, struct slice name);

/* One call of an operation. Zero-initialised it is finished. */
struct component_call {
    struct bus_call bus; /* as bus_call(); the plugin's own verdict is in bus.call.status */
    struct component_facts *facts; /* counted: the generation is in use */
    struct latch *writes;          /* counted by a write */
};

/* One attempt. Waits up to LIMIT_component_wait_ms for a link, then fails with ERR_PLUGIN_AWAY. */
err_t component_call(struct task *t, struct component *component, const struct link_args *args,
                     struct component_call *ret_call) WARN_UNUSED;
/* Always, whatever came back; twice is once. */
void component_call_finish(struct task *t, struct component_call *call);

#endif
