/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts what is under way on any thread, and tells one task when the last of it is done. Whoever
 * begins something takes a reference, and gives it back at the end; the owner's own reference keeps
 * the latch closed until latch_wait().
 *
 *     latch = latch_new();                     // the owner's reference
 *     …latch_ref(latch) … latch_unref(latch)…  // any thread, any number of times
 *     err = latch_wait(t, latch);              // the owner, once: gives up its reference
 */
#ifndef ASYNC_LATCH_H
#define ASYNC_LATCH_H

#include "async/task.h"

struct latch;

struct latch *latch_new(void);
/* Any thread; returns latch. */
struct latch *latch_ref(struct latch *latch);
/* Any thread; NULL is nothing. */
void latch_unref(struct latch *latch);
/* Suspends until all references are gone. The latch belongs to nobody afterwards, whatever comes
 * back: after ERR_DEADLINE or ERR_CANCELLED the last holder frees it. */
err_t latch_wait(struct task *t, struct latch *latch) WARN_UNUSED;

#endif
