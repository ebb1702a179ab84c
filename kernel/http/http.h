/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange, whatever the version: what a handler sees of a request and how it answers.
 *
 * A connection parses a head, starts a task and calls the handler on it; the handler reads the body
 * (if it wants), answers once, and returns. Functions taking a struct http_exchange may suspend
 * where they say so. Everything in the exchange lives in the task's arena and is valid until the
 * handler returns; the connection keeps the exchange until then even if the client is gone.
 *
 * An end of input while the handler works winds the task down (nothing new is begun: waits end with
 * ERR_CANCELLED, except for what is under way) and the answer is still tried: a client may
 * half-close and read on. A reset cancels everything, and the answer goes nowhere. A handler that
 * returns without an answer gets 500 sent for it.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "async/task.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { HTTP_LENGTH_UNKNOWN = -1 };

struct http_header {
    struct slice name; /* as received or as to be sent */
    struct slice value;
};

struct http_exchange;

/* How a protocol version does the work; see h1_reply.c and h2_reply.c. */
struct http_transport {
    err_t (*body_read)(struct http_exchange *x, struct slice *ret_chunk);
    /* Bytes change hands instead of being copied; NULL: they are copied. */
    err_t (*body_move)(struct http_exchange *x, struct buf *to);
    err_t (*reply_move)(struct http_exchange *x, struct buf *from);
    /* The connection's socket; -1: closed. */
    int (*socket)(const struct http_exchange *x);
    /* NULL: never known. */
    bool (*body_is_here)(const struct http_exchange *x);
    /* NULL: there is no need. */
    err_t (*admit)(struct http_exchange *x);
    err_t (*reply_start)(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t header_count, int64_t length);
    err_t (*reply_write)(struct http_exchange *x, struct slice bytes);
    err_t (*reply_end)(struct http_exchange *x);
    /* NULL: trailers are left out. */
    err_t (*reply_end_with)(struct http_exchange *x, const struct http_header *trailers,
                            size_t trailer_count);
};

struct http_exchange {
    const struct http_transport *transport;
    struct task *task;
    void *server_arg; /* of the server's configuration */

    struct slice method;
    struct slice target;    /* raw, as on the request line, without scheme and authority */
    struct slice path;      /* raw part before the question mark */
    struct slice query;     /* raw part behind it; empty if none */
    struct slice authority; /* Host, or of an absolute-form target */
    unsigned version_major; /* 1 or 2 */
    unsigned version_minor; /* of HTTP/1.x */
    const struct http_header *headers;
    size_t header_count;
    int64_t content_length; /* 0 without a body, HTTP_LENGTH_UNKNOWN when chunked */
    bool is_local;          /* came over a Unix socket */
    struct slice peer_id;   /* SPIFFE id that the client has proved; empty: none */
    uint64_t *turn;         /* of the client's connection: see struct client_head; may be NULL */
    bool body_may_pause;    /* set by a handler: the body may pause as long as the client likes */
    bool is_passed_on; /* set by a handler: neither date nor length are added to the answer, and
                          the body may pause as long as the client likes */

    bool has_other_body; /* http_body_replace(): what is left of it */
    struct slice other_body;

    int reply_status;     /* of what was answered; 0: nothing yet */
    uint64_t reply_bytes; /* of its body, so far */
    bool reply_started;
    bool reply_ended;
    bool client_gone; /* reset, or everything closed: nothing can be answered */
};

/* A handler: the straight-line code of one request. */
typedef void http_handler(struct http_exchange *x);

/* --- reading -----------------------------------------------------------------------------------*/

/* The client's IP address as text ("192.0.2.1", "2001:db8::1", IPv4 as such whatever the socket's
 * family), in the task's arena; empty over a Unix socket, or if the client is gone. */
struct slice http_peer_address(const struct http_exchange *x);

/* First header of that name (ASCII case ignored), or an empty slice with data NULL. */
struct slice http_header_get(const struct http_exchange *x, struct slice name);

/* Next piece of the body, valid until the next call; an empty one at its end. Suspends the task
 * that calls, which may be another than the handler's while that one answers. A first
 * call answers `Expect: 100-continue`. ERR_MALFORMED for broken framing, ERR_CLOSED if the client
 * left in the middle, ERR_DEADLINE if it stalled. */
err_t http_body_read(struct http_exchange *x, struct slice *ret_chunk) WARN_UNUSED;

/* The same into an empty buffer of the caller's, whose maximum takes any piece. */
err_t http_body_move(struct http_exchange *x, struct buf *to) WARN_UNUSED;

/* Whether a read would return at once. */
bool http_body_is_here(const struct http_exchange *x);

/* The whole body, in the arena. ERR_TOO_LARGE beyond `bytes_max` (the rest is left unread).
 * Suspends. */
err_t
http_body_read_all(struct http_exchange *x, size_t bytes_max, struct slice *ret_body) WARN_UNUSED;

/* From here on reads give this body instead of the client's, of which nothing is read any more;
 * kept by the caller. */
void http_body_replace(struct http_exchange *x, struct slice body);

/* Before a handler takes memory for an answer: waits while the client has many answers on the way
 * that it does not take. A connection that does take them is soon allowed any number. Suspends. An
 * error means that there is nobody to answer, or no time left. */
err_t http_admit(struct http_exchange *x) WARN_UNUSED;

/* For transports: until input wakes *ret_wait, which is NULL again afterwards, with OK or why there
 * will be none. ERR_DEADLINE after stall_ms (UINT64_MAX: never), or, if the server is to end, after
 * LIMIT_http_drain_silence_ms: it does not wait for a client that has fallen silent, and wakes who
 * waits already when that begins. */
err_t http_await_input(struct task *t, struct wait **ret_wait, bool is_draining,
                       uint64_t stall_ms) WARN_UNUSED;

/* --- answering ---------------------------------------------------------------------------------*/

/* Status, headers and the whole body at once (copied or sent before it returns). Adds
 * Content-Length and Date; 204 and 304 have neither body nor length, an answer to HEAD has no body.
 * May suspend for a body larger than the output limit. Length, coding and Connection headers of the
 * handler are left out (but for "Connection: close"); a name that is no token or a value with
 * control bytes is ERR_MALFORMED, and nothing has been sent then. */
err_t http_reply(struct http_exchange *x, int status, const struct http_header *headers,
                 size_t header_count, struct slice body);

/* In pieces: length HTTP_LENGTH_UNKNOWN is sent chunked (closes the connection for HTTP/1.0).
 * http_reply_write() suspends while the client does not keep up; errors mean it never will. An
 * answer not ended when the handler returns is cut so that the client sees it as cut. */
err_t http_reply_start(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count, int64_t length) WARN_UNUSED;
err_t http_reply_write(struct http_exchange *x, struct slice bytes) WARN_UNUSED;
/* The same; the buffer is empty afterwards. */
err_t http_reply_move(struct http_exchange *x, struct buf *from) WARN_UNUSED;
err_t http_reply_end(struct http_exchange *x);

/* The same with trailers behind the body, which HTTP/1.1 leaves out. */
err_t http_reply_end_with(struct http_exchange *x, const struct http_header *trailers,
                          size_t trailer_count);

/* The value of Date, made once a second. Zeroed at first; one thread at a time. */
struct http_date {
    char text[32];
    uint64_t until_ms;
};
struct slice http_date_now(struct http_date *date);

/* "OK", "Not Found", …; "" for a number without a name. */
const char *http_status_text(int status);

#endif
