/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP/1.1 server: what h1_server.c, h1_conn.c (life of a connection), h1_body.c
 * (request bodies) and h1_reply.c (answers) share. Nobody else includes this. Worker thread only.
 */
#ifndef HTTP_H1_CONN_H
#define HTTP_H1_CONN_H

#include "async/listener.h"
#include "async/stream.h"
#include "http/h1_chunked.h"
#include "http/h1_head.h"
#include "http/h1_server.h"
#include "http/h2_server.h"

/* Steps of a connection's life; h1_conn.c has the table of legal moves. */
enum h1_state {
    H1_IDLE,    /* nothing of the next request has come */
    H1_HEAD,    /* part of a head has */
    H1_BUSY,    /* a task handles a request */
    H1_DISCARD, /* answered; the rest of the body is read and dropped */
    H1_CLOSING, /* no more requests: queued output goes out first */
    H1_LINGER,  /* output ended; waiting for the client to close, lest a reset eats the answer */
    H1_CLOSED,  /* no socket; the task still works */
    H1_STATE_COUNT,
};

struct h1_conn {
    struct h1_server *server;
    struct list link;
    struct stream stream;
    struct buf in; /* input not used yet; holds no memory while empty */
    struct timer timer;
    uint64_t since_ms; /* entered the state, or made progress in it */
    size_t scanned;    /* of `in`, while in H1_HEAD */
    size_t queued;     /* output when the timer last looked */
    size_t dropped;    /* input bytes in H1_DISCARD and H1_LINGER */
    enum h1_state state;
    bool is_ended;      /* the client sends no more */
    bool keeps_alive;   /* after the present request */
    bool waits_for_out; /* requests wait until queued output has gone */
    struct h1_body body;
    struct h1_exchange *exchange; /* in the arena of its task; NULL without a request */
};

/* One request on its task. */
struct h1_exchange {
    struct http_exchange base;
    struct h1_conn *conn;
    struct slice early;      /* body bytes that came with the head */
    struct buf piece;        /* input the handler's slice points into */
    struct slice piece_rest; /* part of it not handed out yet */
    bool expects_continue;   /* 100 is still owed */
    struct wait *body_wait;  /* the handler waits for input */
    struct wait *out_wait;   /* … until output has gone */

    bool is_head;        /* the answer has no body */
    bool is_chunked;     /* framing of the answer */
    bool is_until_close; /* … */
    uint64_t reply_left; /* of a length announced */
};

struct h1_server {
    struct worker *worker;
    struct listener listener;
    struct h1_config config;
    http_handler *handler;
    void *arg;
    bool is_local;
    bool is_draining;
    bool is_closing;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
    struct mail free_mail;
    struct list conns;
    size_t conn_count;
    struct h2_server *h2; /* connections that went over to HTTP/2; NULL: they may not */
    struct buf scratch;   /* input of the connection just read */
    struct h1_head head;  /* … */
    struct http_date date;
};

/* --- h1_server.c -------------------------------------------------------------------------------*/

/* A connection has been freed: the last one of a closing server takes the server along, later. */
void h1_server_lost_conn(struct h1_server *server);

/* --- h1_conn.c ---------------------------------------------------------------------------------*/

/* Takes the descriptor. */
void h1_conn_open(struct h1_server *server, int fd);
/* The next request, or the present one, is the last; it is not waited for long. */
void h1_conn_drain(struct h1_conn *conn);
/* The client is gone: the socket closes at once, the task is told. May free the connection if it
 * has no task. */
void h1_conn_gone(struct h1_conn *conn);
/* Reading may go on if it had paused. */
void h1_conn_resume(struct h1_conn *conn);
/* Asks for a reset instead of an orderly end when the socket closes. */
void h1_conn_reset_on_close(struct h1_conn *conn);
/* Most input a connection may hold: an unfinished head, or what is read ahead, twice. */
size_t h1_conn_in_bytes_max(const struct h1_server *server);

/* --- h1_upgrade.c ------------------------------------------------------------------------------*/

/* Whether a first head is HTTP/2's preface. */
bool h1_is_preface(struct slice bytes);
/* Whether a request asks for HTTP/2 in the way of RFC 7540 section 3.2. One with a body may not:
 * it is answered as HTTP/1.1 says. */
bool h1_wants_h2c(const struct h1_head *head);
/* Gives the connection to the HTTP/2 server: `bytes` come next, `head` asked for it or is NULL.
 * What is left of it is to be freed then. */
void h1_hand_over(struct h1_conn *conn, struct slice bytes, const struct h1_head *head);

/* --- h1_body.c ---------------------------------------------------------------------------------*/

void h1_body_init(struct h1_body *body, const struct h1_head *head);
/* Drops what `in` holds of the body, counting it as dropped. MORE: the client has yet to send. */
enum h1_got h1_body_discard(struct h1_conn *conn, struct buf *in);
/* Returns what was not taken to the connection: the next request's, if the body has ended. */
void h1_body_give_back(struct h1_exchange *e);
err_t h1_body_read(struct http_exchange *x, struct slice *ret_chunk);
bool h1_body_is_here(const struct http_exchange *x);

/* --- h1_reply.c --------------------------------------------------------------------------------*/

extern const struct http_transport h1_transport;
/* Queues the answer of a fault; there is no exchange. */
void h1_reply_fault(struct h1_conn *conn, enum h1_fault fault);
/* After the handler: sends what it left out. False: the client must see that the answer was cut. */
bool h1_reply_finish(struct h1_exchange *e);

static inline struct h1_exchange *
h1_exchange_of(struct http_exchange *x)
{
    return container_of(x, struct h1_exchange, base);
}

#endif
