/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP/2 server: what h2_server.c, h2_conn.c (life of a connection), h2_watch.c (its
 * time limits), h2_session.c (what libnghttp2 tells), h2_memory.c (what it keeps meanwhile),
 * h2_head.c (request heads), h2_stream.c (requests and their bodies) and h2_reply.c (answers)
 * share. Nobody else includes this. Worker thread only.
 */
#ifndef HTTP_H2_CONN_H
#define HTTP_H2_CONN_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "http/h2_common.h"
#include "http/h2_server.h"

struct h2_server {
    struct worker *worker;
    struct h2_config config;
    http_handler *handler;
    void *arg;
    bool is_draining;
    bool is_closing;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
    struct mail free_mail;
    struct list conns;
    size_t conn_count;
    size_t conn_count_high; /* the most since memory was last given back */
    size_t stream_count;
    size_t stream_count_high; /* likewise */
    struct timer trim_timer;
    size_t output;         /* answer bytes of all connections that are not framed yet */
    size_t waiters;        /* handlers that wait for room to answer */
    struct h2_budget cuts; /* of connections of which abuse is put up with */
    bool has_dropped;      /* a connection has gone that held much */
    struct buf scratch;    /* input of the connection just read */
    struct h2_head *spare_head;
    struct http_date date;
};

/* A request head while its frames come; fields point into `bytes` by offset, which grows. */
struct h2_head {
    struct buf bytes;
    struct h2_span {
        uint32_t at, len;
    } method, target, authority;
    struct h2_field {
        struct h2_span name, value;
    } fields[LIMIT_http_headers_max];
    size_t count;
    size_t cost; /* of all that came, kept or not */
    bool is_too_large;
    bool is_malformed;
    int64_t content_length;
};

/* Blocks of a session that an idle connection does not need; see h2_memory.c. */
struct h2_memory {
    char *pages;   /* what both are in */
    void *frames;  /* room for frames being made */
    void *streams; /* table of streams, which is zeros while there are none */
};

struct h2_conn {
    struct h2_server *server;
    struct list link;
    struct stream stream;
    struct flusher flusher;
    struct timer timer;
    nghttp2_session *session; /* NULL: the socket is closed, tasks still work */
    struct list streams;      /* of ours, whether libnghttp2 knows them still or not */
    size_t stream_count;
    struct h2_head *head; /* being received, or of the request that waits to be started */
    int32_t pending_id;   /* of that request, 0: none waits */
    bool is_pending_ended;
    struct h2_budget controls;
    size_t unread;           /* request bytes no handler has read */
    size_t owed;             /* of those not given back to the connection's window */
    size_t output;           /* answer bytes of all streams that are not framed yet */
    size_t waiters;          /* handlers that wait until there is room for more of it */
    size_t admitted;         /* answers that may take memory, and have not gone yet */
    size_t admit_max;        /* so many may at a time; grows with each that is taken */
    struct list admit_queue; /* of exchanges that wait for that */
    uint64_t took_ms;        /* some of it became a frame, or began to wait */
    uint64_t since_ms;       /* opened; last stream ended; head begun; socket took something */
    uint64_t idle_ms;        /* opened; last stream ended */
    uint64_t heard_ms;       /* something came */
    uint64_t drain_ms;       /* it was told that the connection is to end */
    uint64_t now_ms;         /* of the last look at what is due */
    size_t queued;           /* output when the timer last looked */
    uint64_t ping_ms;        /* the client's last ping came */
    unsigned strikes;        /* of its pings that came too soon */
    bool has_answered;       /* an answer went out since its last ping */
    bool has_asked;          /* whether the client is there, and heard nothing since */
    uint64_t turn;           /* of its calls to others */
    bool has_begun;          /* the preface has come */
    bool is_local;
    struct slice peer_id; /* owned: streams outlive the socket */
    bool is_draining;     /* the client has been told to open no more streams */
    bool is_closing;      /* goes when its output has gone */
    bool has_left;        /* the client has said that it opens no more streams */
    bool is_small;        /* has given back what an idle connection does not need */
    struct h2_memory memory;
};

/* One stream: lives until both libnghttp2 and the handler are done with it. */
struct h2_stream {
    struct h2_conn *conn;
    struct list link;
    int32_t id;
    bool is_open;                 /* libnghttp2 knows it */
    bool is_in_ended;             /* END_STREAM came */
    bool is_out_ended;            /* the whole answer is in `out` */
    bool is_out_sent;             /* END_STREAM went */
    bool is_admitted;             /* counted by the connection */
    bool is_deferred;             /* libnghttp2 waits to be told of more output */
    struct h2_exchange *exchange; /* in the arena of its task; NULL: the handler is done */
    struct buf in;
    struct buf out;
    nghttp2_nv *trailers; /* one block with its texts */
    size_t trailer_count;
    uint64_t since_ms; /* output moved */
};

struct h2_exchange {
    struct http_exchange base;
    struct h2_stream *stream;
    struct buf piece; /* input the handler's slice points into */
    struct wait *body_wait;
    struct wait *out_wait;
    struct wait *admit_wait;
    struct list admit_link;
    bool is_bodiless; /* answer to HEAD, 204, 304, or empty: the head ends the stream */
    uint64_t reply_left;
};

/* --- h2_server.c -------------------------------------------------------------------------------*/

void h2_server_lost_conn(struct h2_server *server);
/* Several connections had to be cut off lately. */
bool h2_server_is_wary(struct h2_server *server);

/* --- h2_conn.c ---------------------------------------------------------------------------------*/

/* Output is there: it is framed and written at the end of this turn. */
void h2_conn_flush_later(struct h2_conn *conn);
/* The client speaks HTTP/2. Until then a client that has upgraded is sent no bodies: some have room
 * for little behind the answer to their request. */
void h2_conn_begun(struct h2_conn *conn);
/* Tells the client to open no more streams; later, when that has arrived, which ones count. */
void h2_conn_drain(struct h2_conn *conn);
void h2_conn_drained(struct h2_conn *conn);
/* Closes the socket at once and tells the tasks. May free the connection; not from callbacks of
 * libnghttp2. */
void h2_conn_gone(struct h2_conn *conn);
/* The client has spent a budget: it loses its connection, and if that happens often, new ones get
 * smaller budgets for a while. */
void h2_conn_abused(struct h2_conn *conn);
/* A stream of ours has been freed. May free the connection. */
void h2_conn_lost_stream(struct h2_conn *conn);

/* Opaque data of the ping whose answer ends the first step of draining. */
#define H2_DRAIN_PING "draining"

/* --- h2_watch.c --------------------------------------------------------------------------------*/

void h2_watch_init(struct h2_conn *conn);
/* Something happened that the deadlines count from. */
void h2_watch_touch(struct h2_conn *conn);
/* The last stream has ended. */
void h2_watch_idle(struct h2_conn *conn);
void h2_watch_arm(struct h2_conn *conn);
/* One more handler waits for room to answer, or (-1) one less. */
void h2_watch_waiter(struct h2_conn *conn, int change);
/* The client pings; too often, and it loses its connection as with any gRPC server. */
void h2_watch_pinged(struct h2_conn *conn);

/* --- h2_memory.c -------------------------------------------------------------------------------*/

/* The allocator of the connection's session. */
nghttp2_mem h2_memory_of(struct h2_conn *conn);
/* Gives back what only a busy connection needs. It must have no streams and nothing to send. */
void h2_memory_shrink(struct h2_conn *conn);
void h2_memory_init(struct h2_server *server);
/* Connections have gone: their memory goes back to the system now and then. */
void h2_memory_lost_conn(struct h2_server *server);

/* --- h2_session.c ------------------------------------------------------------------------------*/

/* With the server's settings submitted. */
nghttp2_session *h2_session_new(struct h2_conn *conn);
/* Starts the request whose head is complete; called before anything follows it. One that is reset
 * by what follows at once never gets a task. */
void h2_session_start_pending(struct h2_conn *conn);

/* --- h2_head.c ---------------------------------------------------------------------------------*/

struct h2_head *h2_head_take(struct h2_server *server);
void h2_head_put(struct h2_server *server, struct h2_head *head);
/* False: so much beyond the limits that the stream is to be reset. */
bool h2_head_add(struct h2_head *head, struct slice name, struct slice value, size_t bytes_max);
/* The head of an HTTP/1.1 request. */
void h2_head_from_h1(struct h2_head *head, const struct h1_head *from, size_t bytes_max);
/* What a handler sees of it, in the task's arena. False: malformed. */
bool h2_head_fill(const struct h2_head *head, struct arena *arena, struct http_exchange *x);
struct slice h2_head_get(const struct h2_head *head, struct slice name);

/* --- h2_stream.c -------------------------------------------------------------------------------*/

/* The head is complete. Starts the task, or refuses. */
void h2_stream_start(struct h2_conn *conn, int32_t id, const struct h2_head *head, bool is_ended);
void h2_stream_data(struct h2_stream *s, struct slice bytes);
void h2_stream_in_ended(struct h2_stream *s);
/* The server is to end. */
void h2_stream_drain(struct h2_stream *s);
/* libnghttp2 forgets it, or the connection is gone. May free the stream. */
void h2_stream_closed(struct h2_stream *s);
err_t h2_admit(struct http_exchange *x);
/* An admitted answer has gone, taken as a whole or not; or never was admitted. */
void h2_admit_end(struct h2_stream *s, bool is_taken);
err_t h2_body_read(struct http_exchange *x, struct slice *ret_chunk);
err_t h2_body_move(struct http_exchange *x, struct buf *to);
bool h2_body_is_here(const struct http_exchange *x);
void h2_stream_wake(struct wait *wait, err_t result);

/* --- h2_reply.c --------------------------------------------------------------------------------*/

extern const struct http_transport h2_transport;
/* So many bytes that were in the output are lost, or have become a frame. */
void h2_output_dropped(struct h2_stream *s, size_t bytes);
void h2_output_taken(struct h2_stream *s, size_t bytes);
/* There is more output, or it may go now. */
void h2_reply_resume(struct h2_stream *s);
/* After the handler: sends what it left out; false: the stream must be reset. */
bool h2_reply_finish(struct h2_exchange *e);
/* An answer without a handler: in gRPC's way if the request was. */
void h2_reply_refuse(struct h2_conn *conn, int32_t id, const struct h2_head *head, int status);

static inline struct h2_exchange *
h2_exchange_of(struct http_exchange *x)
{
    return container_of(x, struct h2_exchange, base);
}

#endif
