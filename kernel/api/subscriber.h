/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the subscriptions that are wanted open at the plugins: it asks for them when a broker's
 * component is there and whoever gets the messages is ready, asks again when the component has
 * another generation or its plugin has been started anew, and lets them go when they are not wanted
 * any more, or while the application is not well.
 *
 * It lives on worker 0; functions that take a task may be called from any worker and suspend.
 */
#ifndef API_SUBSCRIBER_H
#define API_SUBSCRIBER_H

#include "api/subscription.h"
#include "base/buf.h"

struct subscriber;
struct topic_entry;

/* Main thread, before the workers run. NULL is nothing for the others: close when worker 0 has
 * ended, free when its mail has been read. */
struct subscriber *subscriber_new(struct kernel_worker *first);
void subscriber_close(struct subscriber *subscriber);
void subscriber_free(struct subscriber *subscriber);

/* Any thread: these are all of that kind from now on; one taker gets all of them, NULL is the
 * application. Counts the specs. */
void subscriber_set(struct subscriber *subscriber, enum topic_kind kind,
                    const struct topic_taker *taker, struct topic_spec *const *specs, size_t count);
/* Any thread: whether the application may get messages. False at first. */
void subscriber_allow_app(struct subscriber *subscriber, bool is_allowed);
/* Any thread: components have come, changed or gone. */
void subscriber_look_again(struct subscriber *subscriber);

/* Any thread: nothing is taken in any more, for good. */
void subscriber_stop(struct subscriber *subscriber);
/* Worker 0, once that order has arrived there: what was on its way has been answered. */
bool subscriber_is_at_rest(const struct subscriber *subscriber);

/* Until all that was wanted when it was called is open, or could not be opened. */
err_t subscriber_settle(struct task *t, struct subscriber *subscriber) WARN_UNUSED;

/* One for as long as a stream is open; it wins over others of its topic, and of several streams the
 * first. Counts the spec. Tells when it is open, or is not going to be: errors of the broker with
 * words in the diag. The entry must be removed whatever comes back. */
err_t subscriber_add(struct task *t, struct subscriber *subscriber, struct topic_spec *spec,
                     const struct topic_taker *taker, struct topic_entry **ret_entry) WARN_UNUSED;
/* Another that wants the same for the same taker goes on with what is open. NULL is nothing.
 * Messages that are on their way may still be taken afterwards. */
void subscriber_remove(struct task *t, struct subscriber *subscriber, struct topic_entry *entry);
/* As subscriber_stop(), and waits until everything is closed. */
err_t subscriber_finish(struct task *t, struct subscriber *subscriber) WARN_UNUSED;

/* What is wanted but for the kernel's own, as the metadata API lists it: one call a subscription,
 * on worker 0. */
typedef void subscriber_list_fn(const struct topic_spec *spec, void *arg);
err_t subscriber_each(struct task *t, struct subscriber *subscriber, subscriber_list_fn *fn,
                      void *arg) WARN_UNUSED;

#endif
