/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a server, from a task. Names are looked up away from the loop, every address of a
 * name is tried in turn, and a task that is cancelled or out of time leaves at once, whatever the
 * look-up is doing.
 */
#ifndef ASYNC_CONNECT_H
#define ASYNC_CONNECT_H

#include <stdint.h>

#include "async/task.h"
#include "base/err.h"
#include "base/slice.h"

/* Borrowed until connect_to() returns. */
struct connect_target {
    struct slice host; /* a name, or an IPv4 or IPv6 literal without brackets */
    uint16_t port;
    struct slice unix_path; /* not empty: a Unix socket instead */
};

/* Suspends. A connected, non-blocking, close-on-exec descriptor; ERR_PEER_UNREACHABLE with words in
 * the task's diag ("dial tcp 127.0.0.1:80: connect: connection refused"), ERR_DEADLINE or
 * ERR_CANCELLED. */
err_t connect_to(struct task *t, const struct connect_target *target, int *ret_fd) WARN_UNUSED;

/* "Connection refused" as the reference says it, in lower case. */
struct slice connect_errno_text(struct arena *arena, int error);

#endif
