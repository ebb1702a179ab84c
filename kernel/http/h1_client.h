/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP/1.1 client: what h1_client.c (the pool and its connections) and
 * h1_client_call.c (one exchange on one of them) share. Nobody else includes this. Worker thread
 * only.
 *
 * A connection carries one call at a time and is used again if that ended cleanly on both sides.
 * The gate of the pool has a place for each connection there may be; whoever has a place takes an
 * unused connection or dials.
 */
#ifndef HTTP_H1_CLIENT_H
#define HTTP_H1_CLIENT_H

#include "async/gate.h"
#include "async/stream.h"
#include "http/client_kind.h"
#include "http/h1_chunked.h"
#include "http/h1_response.h"

struct h1_client {
    struct client base;
    struct worker *worker;
    struct client_config config; /* with texts of our own */
    struct gate gate;            /* connections, used and dialled ones */
    struct list idle;            /* unused ones, used last first */
    struct timer idle_timer;     /* of the one unused longest */
    size_t conn_count;
    size_t call_count;           /* started and not finished */
    bool is_closing;             /* goes with the last call */
    struct h1_response response; /* of the head just parsed */
};

struct h1_client_conn {
    struct h1_client *client;
    struct list link; /* in the idle list */
    struct stream stream;
    struct buf in;               /* input not used yet */
    struct h1_client_call *call; /* NULL: unused */
    uint64_t idle_since_ms;
    bool was_used;  /* it has carried a call before */
    bool is_ended;  /* the server sends no more */
    bool is_lost;   /* neither direction works any more */
    bool is_closed; /* the server takes no more */
};

/* One call, in the arena of the task that started it. */
struct h1_client_call {
    struct client_call *base;
    struct h1_client *client;
    struct h1_client_conn *conn;
    struct slice method;
    struct slice again; /* the whole request, where sending it twice does no harm; else empty */

    bool is_shaking_hands; /* TLS, or has */
    bool is_chunked;       /* the request's body */
    uint64_t body_left;    /* of a length announced */
    bool is_sent;          /* the request has been written to its end */

    size_t scanned; /* of the input, for the end of a head */
    unsigned interim_count;
    bool has_head;
    bool keeps_alive;
    bool is_until_close;
    bool has_acknowledged; /* what has come of the answer, without delay */
    bool is_over;          /* the answer has been read to its end */
    struct h1_body body;
    struct buf piece; /* input the caller's slice points into */
    struct slice piece_rest;

    struct wait *in_wait;
    struct wait *out_wait;
};

/* --- h1_client.c -------------------------------------------------------------------------------*/

/* Suspends: an unused connection, or a new one. The caller has a place. */
err_t h1_client_take(struct task *t, struct h1_client *client, struct h1_client_call *call,
                     bool must_be_new) WARN_UNUSED;
/* The call is done with its connection: it may serve another, or must close. */
void h1_client_give_back(struct h1_client_conn *conn, bool is_reusable);
/* A call is over, and gives its place back if it had one. May free the client. */
void h1_client_left(struct h1_client *client, bool had_place);

/* --- h1_client_conn.c --------------------------------------------------------------------------*/

/* Suspends: a new connection for the call, TLS agreed on. */
err_t
h1_client_dial(struct task *t, struct h1_client *client, struct h1_client_call *call) WARN_UNUSED;
/* Takes it out of the list of unused ones as well. */
void h1_client_conn_free(struct h1_client_conn *conn);
/* Reading goes on if it had paused. */
void h1_client_resume(struct h1_client_conn *conn);
size_t h1_client_in_bytes_max(const struct h1_client *client);

/* --- h1_client_call.c --------------------------------------------------------------------------*/

err_t h1_client_start(struct task *t, struct client *base, const struct client_head *head,
                      struct client_call *ret_call);
/* Input, its end, or the loss of the connection. */
void h1_client_on_input(struct h1_client_call *call);
/* Output has gone, or never will. */
void h1_client_on_output(struct h1_client_call *call);

#endif
