/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gzip of whole messages, bounded. Large ones are worked on away from the loop, so that nobody else
 * waits for them. Results live in the task's arena.
 */
#ifndef HTTP_GZIP_H
#define HTTP_GZIP_H

#include "async/task.h"
#include "base/slice.h"

/* ERR_TOO_LARGE beyond bytes_max, ERR_MALFORMED for anything but one whole gzip member,
 * ERR_OVERLOADED when too many large ones wait already. May suspend. */
err_t gzip_decode(struct task *t, struct slice bytes, size_t bytes_max,
                  struct slice *ret_bytes) WARN_UNUSED;

/* ERR_OVERLOADED as above. May suspend. */
err_t gzip_encode(struct task *t, struct slice bytes, struct slice *ret_bytes) WARN_UNUSED;

#endif
