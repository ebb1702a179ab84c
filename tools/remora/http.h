/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of a sidecar's HTTP API, start to end, for a program that makes one or two and waits for
 * them: HTTP/1.0, a connection a call, so that there is neither chunking nor keeping alive. The
 * kernel's own client (kernel/http) belongs to a worker's loop, of which there is none here.
 */
#ifndef REMORA_HTTP_H
#define REMORA_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

struct http_request {
    const char *socket; /* path of a Unix socket; NULL: the port of this machine */
    uint16_t port;
    const char *method;
    const char *target;       /* escaped */
    const char *content_type; /* NULL: none */
    struct slice body;
    uint64_t timeout_ms; /* for all of it */
};

struct http_reply {
    int status;
    struct slice body; /* in the arena */
};

/* DAPR_API_TOKEN of the environment goes with it. On failure false, and `ret_error` has the reason
 * in the arena. */
bool http_call(struct arena *arena, const struct http_request *request,
               struct http_reply *ret_reply, const char **ret_error) WARN_UNUSED;

/* Appends `text` with everything escaped that a target may not hold; with `is_part` also what
 * divides one. False beyond the buffer's maximum. */
bool http_escape(struct buf *out, const char *text, bool is_part) WARN_UNUSED;

#endif
