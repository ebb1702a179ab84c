/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps input bindings being read: every binding component that has events is read once the
 * application may have them and has said that it wants them (or the document has said so for it),
 * again with each generation of the component and each process of its plugin, and no longer when
 * it is removed, while the application is not well, and when the sidecar ends.
 *
 * It lives on worker 0; functions that take a task may be called from any worker and suspend.
 */
#ifndef API_BINDING_READER_H
#define API_BINDING_READER_H

#include "api/kernel.h"

struct binding_reader;

/* Main thread, before the workers run. NULL is nothing for the others: close when worker 0 has
 * ended, free when its mail has been read. */
struct binding_reader *binding_reader_new(struct kernel_worker *first);
void binding_reader_close(struct binding_reader *reader);
void binding_reader_free(struct binding_reader *reader);

/* Any thread: whether the application may get events. False at first; each time it becomes true the
 * application is asked anew what it wants. */
void binding_reader_allow(struct binding_reader *reader, bool is_allowed);
/* Any thread: components have come, changed or gone. */
void binding_reader_look_again(struct binding_reader *reader);
/* Any thread: nothing is read any more, for good. */
void binding_reader_stop(struct binding_reader *reader);
/* Worker 0, once that order has arrived there: what was on its way has been answered. */
bool binding_reader_is_at_rest(const struct binding_reader *reader);

/* Until all that was wanted when it was called is being read, or is not going to be. */
err_t binding_reader_settle(struct task *t, struct binding_reader *reader) WARN_UNUSED;

#endif
