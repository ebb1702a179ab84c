/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanging components under load: a set of components moves from where they are served now (a
 * handle on a link) to somewhere else (another handle, on the same link or another), and no request
 * fails or reads something old. Used for a changed configuration (same process) and for a changed
 * plugin (another process) alike; what differs is decided by the plugin's manifest:
 *
 *   overlap    both generations may work at a time: the store behind them is what counts
 *   exclusive  only one may work: calls wait while the old one lets go and the new one takes over
 *   handover   what the old one keeps in memory is carried over, piece by piece while it works, and
 *              the last changes while writes wait
 *
 * If anything fails before the first component is switched, every old one goes on. If something
 * fails later, those that are not switched go on as they were.
 * The story is one function, exchange_main(), on a task of the worker that holds the links.
 */
#ifndef COMPONENT_EXCHANGE_H
#define COMPONENT_EXCHANGE_H

#include "async/mailbox.h"
#include "component/route.h"
#include "component/secret_refs.h"
#include "supervisor/manifest.h"

/* One component. Pointers are owned by the item and given back by exchange_free(), except those the
 * receiver takes out of it. */
struct exchange_item {
    void *user;
    const void *spec; /* of the receiver: which words it was made from */
    void *load;       /* of the receiver: what they stand in */
    char *name;       /* owned */
    enum manifest_replace replace;
    uint64_t init_timeout_ms;
    struct init_request request; /* packed, without secrets */
    struct secret_refs *secrets; /* what is added to it; NULL without */
    struct component_facts
        facts;        /* of the new generation; texts borrowed; what Init tells is filled in */
    char *operations; /* of a binding, as the facts have them */

    struct link *from; /* counted; NULL: nothing serves it now */
    uint32_t from_handle;
    struct latch *from_gone;            /* the owner's reference of the old facts' latch */
    struct latch *from_writes;          /* and of the writes' one */
    struct component_facts *from_shape; /* counted; the old facts, without their latch */

    struct link *to; /* counted */

    /* Results. */
    struct secret_digest digest; /* of what the secrets were */
    bool is_inited;
    bool is_switched;
    struct latch *gone; /* the owner's references for the generation that serves now, if they are
                           others than before: the new one's, or the old one's after all */
    struct latch *writes;
    struct component_facts *shape; /* counted; the new facts, without their latch */
    char *error;                   /* why this one failed */
    bool is_create_error;          /* as secret_refs.h has it */
};

struct exchange;

/* On the main thread. `is_over` false: components are switched (or it failed, see `error`), the old
 * ones are still finishing. True: nothing of the old ones is in use any more; the receiver frees
 * it. An exchange that failed reports once, with is_over. */
typedef void exchange_fn(struct exchange *exchange, bool is_over);

struct exchange {
    void *user; /* of the receiver, as the next one */
    void *from;
    const struct routes *routes;
    struct worker *worker; /* holds the links */
    struct mailbox *control;
    exchange_fn *report;
    struct exchange_item *items;
    size_t count;
    uint64_t drain_ms;   /* how long calls of the old generation may go on */
    const char *error;   /* a constant; NULL if all were switched */
    struct list in_line; /* of exchange_retire() */
    struct mail start_mail;
    struct mail switched_mail;
    struct mail over_mail;
};

/* A generation that nothing replaces: once its calls have ended it is closed. Takes over `gone`
 * (the owner's reference); counts the link. Any thread; nobody is told. */
void exchange_retire(const struct routes *routes, struct link *link, uint32_t handle,
                     struct latch *gone, struct slice name);

struct exchange *exchange_new(size_t count);
/* Main thread. */
void exchange_start(struct exchange *exchange);
void exchange_free(struct exchange *exchange);
/* Those that wait to be closed, once their worker has ended: their plugins have too. */
void exchange_forget_retiring(struct component_table *table);

#endif
