/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP/2 client: what h2_client.c (the pool: which connection takes a call,
 * dialling), h2_client_conn.c (life of a connection), h2_client_pace.c (how many calls a server
 * gets at once), h2_client_session.c (what libnghttp2 tells) and h2_client_call.c (one call and its
 * bodies) share. Nobody else includes this. Worker thread only.
 *
 * Calls wait in one queue of the pool and become streams only while frames are being made, as many
 * as the peer lets be open: a call that is given up before has cost nothing. A stream that is given
 * up later is reset only as fast as a careful peer allows (see h2_client_doom()), since one
 * connection carries the calls of all.
 */
#ifndef HTTP_H2_CLIENT_H
#define HTTP_H2_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "async/stream.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "http/client_kind.h"
#include "http/h2_common.h"

enum { H2_CLIENT_FIELDS_MAX = 2 * LIMIT_http_headers_max };

struct h2_client {
    struct client base;
    struct worker *worker;
    struct client_config config; /* with texts of our own */
    struct list conns;
    size_t conn_count;   /* dialling ones included */
    struct list waiting; /* calls without a stream, by turn */
    size_t waiting_count;
    uint64_t turn;     /* of the call that got a stream last */
    size_t call_count; /* all that exist */
    bool is_closing;
    unsigned barren;                         /* connections in a row that ended without an answer */
    err_t dial_err;                          /* of the last connection that did not come to be */
    struct buf dial_text;                    /* why, for people */
    struct buf scratch;                      /* input of the connection just read */
    nghttp2_nv fields[H2_CLIENT_FIELDS_MAX]; /* of the request just made a stream */
    struct list spare_calls;
    size_t spare_count;
    struct mail free_mail;
};

/* How many calls may be without an answer; see h2_client_pace.c. */
struct h2_pace {
    size_t unanswered, window;
    uint64_t best_ns; /* the quickest answer since `since_ms` */
    uint64_t since_ms, grown_ms;
    bool is_holding; /* calls wait for it */
};

enum h2_client_state {
    H2_DIALLING, /* no socket yet */
    H2_GREETING, /* the peer has not told its settings */
    H2_READY,
    H2_LEAVING, /* takes no further calls; goes when the last of its own is over */
};

struct h2_client_conn {
    struct h2_client *client;
    struct list link;
    enum h2_client_state state;
    struct task *dialler;
    struct stream stream;
    struct flusher flusher;
    struct timer timer;
    nghttp2_session *session;
    struct list calls; /* with a stream, or with answers that are not read yet */
    size_t call_count; /* with a stream */
    uint32_t streams_max;
    struct list doomed; /* given up, to be reset when that is due */
    size_t doomed_count;
    struct h2_pace pace;
    struct h2_budget resets;
    struct h2_budget controls; /* frames of the peer that only cost */
    size_t unread;             /* answer bytes that no task has read */
    bool is_tight;             /* they are many: all calls have small windows */
    size_t output;             /* request bytes of all calls that are not framed yet */
    uint64_t since_ms;         /* began; last call over; socket took something */
    uint64_t received_ms;      /* anything */
    uint64_t pinged_ms;        /* 0: no ping is out */
    uint64_t paused_ms; /* takes no call before: the peer has refused one that it had room for */
    size_t queued;      /* output when the timer last looked */
    bool has_served;    /* it has answered a call */
    bool is_broken;     /* a flood, or nonsense: to be closed after this callback */
    bool has_sent;      /* a part of a call went out since the peer's last ping */
};

enum h2_call_state { H2_CALL_WAITING, H2_CALL_OPEN, H2_CALL_OVER };

/* Lives until both its owner and libnghttp2 are done with it. */
struct h2_call {
    struct h2_client *client;
    struct h2_client_conn *conn; /* NULL before there is one, and when it is gone */
    struct client_call *owner;   /* NULL: finished */
    struct list link;            /* of client->waiting or conn->calls */
    struct list doom_link;
    enum h2_call_state state;
    uint64_t turn;
    int32_t id;
    unsigned attempts;
    struct wait *start_wait, *in_wait, *out_wait;
    err_t err;           /* why it is over without a whole answer */
    struct slice reason; /* in the arena of the task that began it */

    /* The request: the array and behind it the texts, in one block that is used again. */
    struct buf head;
    size_t field_count;
    struct buf out;
    size_t out_framed;  /* bytes at the front of `out` that are kept in case of a repetition */
    uint64_t body_left; /* UINT64_MAX: not announced */
    uint64_t ended_ms;  /* when the request ended, or began, whichever is later */
    bool keeps_output;
    bool is_out_ended;  /* the whole body is in `out` */
    bool is_out_sent;   /* END_STREAM went */
    bool is_deferred;   /* libnghttp2 waits to be told of more output */
    uint64_t opened_ns; /* 0: it does not count among the unanswered of its connection */

    /* The answer. */
    struct http_header *fields; /* in the owner's arena: of the head, then of the trailers */
    size_t count, capacity, bytes;
    int status;
    int64_t content_length;
    bool has_head;
    bool is_in_ended;
    struct buf in;
    struct buf piece; /* what the owner's slice points into */
};

/* --- h2_client.c -------------------------------------------------------------------------------*/

/* Something has changed about who waits or what is free: calls get streams, connections are
 * dialled. Streams themselves come at the end of the turn. */
void h2_client_kick(struct h2_client *client);
/* How many calls its connections may take now. */
size_t h2_client_room(struct h2_client *client);
/* The connection could not be made. Ends the calls that wait for one, unless another will come.
 * The connection must be freed by the caller afterwards. */
void h2_client_dial_failed(struct h2_client *client, err_t err, struct slice text);
/* Ends them whatever will come. */
void h2_client_fail_waiting(struct h2_client *client, err_t err, struct slice text);
void h2_client_lost_conn(struct h2_client_conn *conn);
struct h2_call *h2_client_call_take(struct h2_client *client);
void h2_client_call_put(struct h2_call *c);

/* --- h2_client_pace.c --------------------------------------------------------------------------*/

void h2_pace_init(struct h2_client_conn *conn);
/* Whether another call may be opened now. */
bool h2_pace_may_open(struct h2_client_conn *conn);
void h2_pace_opened(struct h2_call *c);
/* It has its head, or is over; the second time is none. */
void h2_pace_answered(struct h2_call *c);

/* --- h2_client_conn.c --------------------------------------------------------------------------*/

struct h2_client_conn *h2_client_conn_new(struct h2_client *client);
/* A connected socket, moved. */
void h2_client_conn_open(struct h2_client_conn *conn, int fd);
/* Closes at once: its calls are over, or wait again if nothing of them can have been seen. Frees
 * it. Not from callbacks of libnghttp2. */
void h2_client_conn_gone(struct h2_client_conn *conn, struct slice reason);
/* No further calls; goes with the last. May free it at once. */
void h2_client_conn_leave(struct h2_client_conn *conn);
void h2_client_conn_flush_later(struct h2_client_conn *conn);
/* It takes no calls for so long. */
void h2_client_conn_pause(struct h2_client_conn *conn, uint64_t ms);
/* How many more calls it may take now. */
size_t h2_client_conn_room(const struct h2_client_conn *conn);

/* --- h2_client_session.c -----------------------------------------------------------------------*/

nghttp2_session *h2_client_session_new(struct h2_client_conn *conn);

/* What of an answer may be on its way, in each call that is and will be. */
void h2_client_set_window(struct h2_client_conn *conn, bool is_tight);

/* --- h2_client_call.c --------------------------------------------------------------------------*/

extern const struct client_transport h2_client_transport;
err_t h2_client_call_start(struct task *t, struct h2_client *client, const struct client_head *head,
                           struct client_call *ret_call);
/* Makes it a stream. False: the session takes none. */
bool h2_call_submit(struct h2_call *c, struct h2_client_conn *conn);
void h2_call_field(struct h2_call *c, struct slice name, struct slice value);
void h2_call_data(struct h2_call *c, struct slice bytes);
/* A HEADERS frame is complete. False: it is no sound answer. */
bool h2_call_head_ended(struct h2_call *c);
void h2_call_in_ended(struct h2_call *c);
void h2_call_output_taken(struct h2_call *c, size_t bytes, bool is_given);
/* Whether the output, so many bytes, may leave it for good with the frame. */
bool h2_call_may_give(const struct h2_call *c, size_t bytes);
/* Its stream is gone: over, or waiting again. */
void h2_call_closed(struct h2_call *c, uint32_t code, struct slice reason);
/* It never got a stream. */
void h2_call_fail(struct h2_call *c, err_t err);
/* Resets streams that were given up, as many as the peer may be asked to bear now. */
void h2_client_doom(struct h2_client_conn *conn);

#endif
