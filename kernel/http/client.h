/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange from the asking side, whatever the version, and the pool of connections behind
 * it: one worker's connections to one target.
 *
 *     err = client_start(t, client, &head, &call);
 *     if (err == OK)
 *         err = client_write(t, &call, bytes);
 *     if (err == OK)
 *         err = client_end(t, &call);
 *     if (err == OK)
 *         err = client_head(t, &call);
 *     while (err == OK && (err = client_read(t, &call, &chunk)) == OK && chunk.len > 0)
 *         …
 *     client_finish(&call);
 *
 * client_start() finds a connection and sends the head; client_write() may be called as often as
 * there is something; client_head() waits for status and headers; client_finish() is called once,
 * whatever happened.
 *
 * Two tasks of the worker may use one call at once, one writing and one reading; the call and the
 * arena of the task that started it must outlive both. A function whose task is cancelled or out of
 * time returns ERR_CANCELLED or ERR_DEADLINE and leaves the call as it was; client_finish() then
 * undoes what is under way.
 *
 * Errors, with words for people in the diag of the task that was told:
 *   ERR_PEER_UNREACHABLE  no connection came to be; nothing was sent
 *   ERR_PEER_LOST         the connection broke, or the peer reset the call
 *   ERR_PEER_PROTOCOL     what came is no answer
 *   ERR_OVERLOADED        the pool is full and so is the queue in front of it; nothing was sent
 *   ERR_DEADLINE          the task's deadline, or one of the configuration's
 *   ERR_MALFORMED         a header or target that cannot be sent; nothing was sent
 * Whatever the error, call->was_sent tells whether the peer can have seen anything of the request:
 * false makes a repetition safe.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "async/worker.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/http.h"

struct client;
struct client_call;
struct tls_context;

enum client_protocol { CLIENT_H1, CLIENT_H2 };

/* Copied by client_new(). 0 means the default of limits.def; head_ms and stall_ms: the task's. */
struct client_config {
    enum client_protocol protocol;
    struct slice host; /* a name, an IPv4 or an IPv6 literal without brackets */
    uint16_t port;
    struct slice unix_path;  /* not empty: a Unix socket instead of host and port */
    struct slice authority;  /* of requests that name none; empty: host:port */
    struct tls_context *tls; /* tls.h; referenced; NULL: plain text */
    struct slice peer_id; /* the SPIFFE id that the server must prove; empty: none is asked for */
    uint64_t ping_ms;     /* a silent server with open calls is asked after this; of HTTP/2 */
    uint64_t pong_ms;     /* and must answer within this */
    unsigned connections_max;
    unsigned streams_max; /* calls on one connection; of HTTP/2 only */
    /* So many calls of HTTP/2 are on one connection without an answer at first; further ones wait
     * by turn, and are let go as far as the server takes them without becoming slower. So its queue
     * stays here, where turns are fair. 0: no limit. */
    unsigned unanswered_min;
    unsigned waiters_max;  /* calls waiting for a connection; then ERR_OVERLOADED */
    uint64_t idle_ms;      /* an unused connection is kept so long */
    uint64_t connect_ms;   /* name, connection, TLS and protocol handshake together */
    uint64_t head_ms;      /* from the end of the request to the head; UINT64_MAX: the task's */
    uint64_t stall_ms;     /* nothing comes of, or goes into, a body; UINT64_MAX: the task's */
    size_t head_bytes_max; /* of an answer */
};

/* The head of a request. Borrowed until client_start() returns. */
struct client_head {
    struct slice method;
    struct slice target;    /* path and query, as they are to be sent */
    struct slice authority; /* empty: the client's own */
    /* Names of any case, HTTP/2 sends them in lower case. Host, Connection, Keep-Alive, length and
     * coding are left out: they follow from what else is said here. */
    const struct http_header *headers;
    size_t header_count;
    int64_t body_length; /* HTTP_LENGTH_UNKNOWN: as much as will be written */
    /* Of whoever the call is made for, 0 at first: calls of one that wait for a connection take
     * turns with those of others, however many they are. NULL: nobody in particular. */
    uint64_t *turn;
};

/* How a protocol version does it; called through the functions below only. */
struct client_transport {
    err_t (*write)(struct task *t, struct client_call *call, struct slice bytes);
    err_t (*end)(struct task *t, struct client_call *call);
    err_t (*head)(struct task *t, struct client_call *call);
    err_t (*read)(struct task *t, struct client_call *call, struct slice *ret_chunk);
    /* Bytes change hands instead of being copied; NULL: they are copied. */
    err_t (*write_move)(struct task *t, struct client_call *call, struct buf *from);
    err_t (*read_move)(struct task *t, struct client_call *call, struct buf *to);
    void (*finish)(struct client_call *call);
};

/* Embedded by the caller, who may look at what is not marked otherwise. */
struct client_call {
    const struct client_transport *transport; /* NULL: nothing to finish */
    struct client *client;
    void *state;         /* the transport's, in the arena */
    struct arena *arena; /* of the task that started it */
    bool was_sent;       /* something of the request can have reached the peer */
    bool was_reset;      /* with ERR_PEER_LOST, of HTTP/2: by the peer, saying why */
    uint32_t reset_code;

    /* After client_head(). */
    int status;
    const struct http_header *headers; /* as received, in the arena; without pseudo-headers */
    size_t header_count;
    int64_t content_length; /* of the body that follows, HTTP_LENGTH_UNKNOWN if not announced */

    /* After client_read() has delivered the end. */
    const struct http_header *trailers;
    size_t trailer_count;
};

/* --- the pool, worker thread -------------------------------------------------------------------*/

/* Connects when first needed. */
struct client *client_new(struct worker *worker, const struct client_config *config);
/* No call can be started any more; unused connections close now, used ones with their calls, which
 * go on. The last of them frees the client. NULL is nothing. */
void client_close(struct client *client);
/* Open connections, for metrics and tests. */
size_t client_connections(const struct client *client);

/* --- one exchange ------------------------------------------------------------------------------*/

/* Suspends: until there is a connection that takes the call. On failure there is nothing to finish,
 * though client_finish() does no harm. */
err_t client_start(struct task *t, struct client *client, const struct client_head *head,
                   struct client_call *ret_call) WARN_UNUSED;

/* Bytes of the body, copied or sent when it returns. Suspends while the peer does not keep up.
 * ERR_PEER_LOST also when the peer has answered and takes no more: the answer can still be had. */
err_t client_write(struct task *t, struct client_call *call, struct slice bytes) WARN_UNUSED;
/* The same; the buffer is empty afterwards. */
err_t client_write_move(struct task *t, struct client_call *call, struct buf *from) WARN_UNUSED;
/* The end of the body; to be called for an empty one too. */
err_t client_end(struct task *t, struct client_call *call) WARN_UNUSED;

/* Suspends until the final status is there; informational ones are skipped. A second call returns
 * at once. May be called before the body has been written. */
err_t client_head(struct task *t, struct client_call *call) WARN_UNUSED;
/* The next piece of the body, valid until the next call; an empty one at its end. Suspends. */
err_t client_read(struct task *t, struct client_call *call, struct slice *ret_chunk) WARN_UNUSED;
/* The same into an empty buffer of the caller's, whose maximum takes any piece. */
err_t client_read_move(struct task *t, struct client_call *call, struct buf *to) WARN_UNUSED;
/* Ends the call: one that is not over on both sides is reset. Never suspends; twice is once. */
void client_finish(struct client_call *call);

/* First header of that name (ASCII case ignored), or an empty slice with data NULL. */
struct slice client_header_get(const struct client_call *call, struct slice name);

#endif
