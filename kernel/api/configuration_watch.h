/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions to configuration. A watch is one of them, for as long as an application wants it:
 * whatever becomes of the component, its generation, its plugin and its store meanwhile. A task of
 * its own (the keeper) asks the plugin for changes, asks again when the component is another or
 * comes back, and then reads the keys anew and tells what has become different, so that nothing
 * that happened in between is missed. Until somebody takes a change only the newest value of its
 * key is kept; of a reader that is too slow even for that the values are dropped and read later.
 *
 * The worker that opened a watch owns it; changes come from tasks of any worker.
 */
#ifndef API_CONFIGURATION_WATCH_H
#define API_CONFIGURATION_WATCH_H

#include "api/configuration.h"
#include "base/list.h"

struct configuration_watch;
struct host_call;

/* A change that waits to be taken; in one piece. */
struct configuration_change {
    struct list link;
    struct configuration_item item;
    size_t bytes; /* of the item's texts */
};

/* Frees all that are in the list. */
void configuration_changes_free(struct list *changes);

/* Suspends until no change can be missed. What is wrong is recorded in rq->error. */
err_t configuration_watch_open(struct request *rq, struct component *store,
                               const struct configuration_query *query,
                               struct configuration_watch **ret_watch) WARN_UNUSED;
/* As clients know it: a UUID. */
struct slice configuration_watch_id(const struct configuration_watch *watch);
struct slice configuration_watch_store(const struct configuration_watch *watch);

/* Moves the next changes into an empty list, at least one: each is freed by its taker. ERR_CLOSED:
 * there are no more, since it was unsubscribed, or since the process ends. Suspends. One task. */
err_t configuration_watch_next(struct task *t, struct configuration_watch *watch,
                               struct list *changes) WARN_UNUSED;
/* It could not be told: it is taken again, unless there is a newer value. Takes it over. */
void configuration_watch_put_back(struct configuration_watch *watch,
                                  struct configuration_change *change);
/* Waits so long at most, until the watch is over. False: it is. Suspends. */
bool configuration_watch_pause(struct task *t, struct configuration_watch *watch, uint64_t ms);
bool configuration_watch_is_over(const struct configuration_watch *watch);
/* Ends it and gives up the opener's reference; the plugin is told in the background. */
void configuration_watch_close(struct configuration_watch *watch);

/* Any worker. False: there is none of that id. Nothing is told of it any more. */
bool configuration_unsubscribe(struct slice id);
/* Any thread: whoever waits for changes looks whether the process ends. */
void configuration_watches_nudge(void);

/* Answers a plugin's METHOD_HOST_CONFIGURATION_CHANGED. Suspends. */
void configuration_changed(struct request *rq, struct host_call *call);

#endif
