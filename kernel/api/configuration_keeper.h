/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two halves of a watch: configuration_watch.c, which knows what has been told, and
 * configuration_keeper.c, the task that keeps it subscribed. Nobody else includes this.
 */
#ifndef API_CONFIGURATION_KEEPER_H
#define API_CONFIGURATION_KEEPER_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/configuration_watch.h"
#include "api/numbered.h"
#include "async/worker.h"

struct configuration_watch {
    atomic_uint
        refs; /* first: see numbered.h. The opener's, the keeper's, of the number, of mail */
    struct worker *worker;
    struct kernel *kernel;
    struct arena arena; /* of what is wanted; constant */
    struct slice id;
    struct slice store;
    struct configuration_query query;
    atomic_bool is_over; /* nobody wants it any more */
    atomic_bool is_nudged;
    struct mail nudge;

    pthread_mutex_t lock;     /* of what follows */
    uint64_t number;          /* that the plugin has; 0: none */
    const struct link *asked; /* whose plugin that is; compared, never followed */
    struct list unsent;       /* struct configuration_change, in order of their first change */
    struct map by_key;        /* the same by their keys */
    size_t unsent_bytes;
    struct map known;   /* key → fingerprint of what was told, or is unsent */
    struct map touched; /* keys told by the plugin while the keeper reads: a set */
    bool is_reading;
    bool is_reading_void; /* what is read now does not count */
    bool is_stale;        /* the keys are to be read anew */
    bool has_overflowed;  /* because the reader is slow */
    bool has_baseline;    /* they have been read once */

    /* Its worker only. */
    bool is_settled; /* it could be subscribed, or could not: */
    err_t failure;
    struct slice failure_words;
    struct wait *keeper_wait, *taker_wait;
};

/* The keeper has a reference of its own. False: there is no task for it. */
bool configuration_keeper_start(struct configuration_watch *watch) WARN_UNUSED;

/* --- for the keeper, on the watch's worker -----------------------------------------------------*/

struct configuration_watch *configuration_watch_ref(struct configuration_watch *watch);
void configuration_watch_unref(struct configuration_watch *watch);
void configuration_watch_wake(struct configuration_watch *watch);
/* Waits in a slot, for `ms` or for ever. Suspends. */
err_t configuration_watch_wait(struct task *t, struct wait **slot, uint64_t ms) WARN_UNUSED;

/* Gives it a number, for that plugin alone; the keys are to be read. */
void configuration_watch_ask(struct configuration_watch *watch, const struct link *link);
/* The number is nobody's any more. */
void configuration_watch_forget(struct configuration_watch *watch);

bool configuration_watch_is_stale(struct configuration_watch *watch);
/* Reading begins, and has failed, or has given this. */
void configuration_watch_reading(struct configuration_watch *watch);
void configuration_watch_not_read(struct configuration_watch *watch);
void configuration_watch_take_reading(struct configuration_watch *watch, struct arena *scratch,
                                      const struct configuration_item *items, size_t count);

#endif
