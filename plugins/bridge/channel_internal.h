/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the channel share: channel.c (the connection's life), session.c (its frames),
 * rpc.c (one call).
 *
 * nghttp2 must not be entered from its own callbacks, and an owner may do anything in his. So
 * callbacks of nghttp2 only take notes (rpc_note()); when it has returned, channel_turn() tells the
 * owners and then writes what has come together.
 */
#ifndef BRIDGE_CHANNEL_INTERNAL_H
#define BRIDGE_CHANNEL_INTERNAL_H

#include <ev.h>
#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "channel.h"

struct bytes {
    char *data;
    size_t at; /* what is before has been used */
    size_t len;
    size_t capacity;
};

enum channel_state {
    CHANNEL_DOWN,
    CHANNEL_PREPARING,
    CHANNEL_READY,
    CHANNEL_LEAVING, /* the other side wants no further calls */
};

TAILQ_HEAD(rpc_list, rpc);

struct channel {
    char *path;
    char *instance;
    channel_connected *connected;
    void *arg;
    enum channel_state state;
    char *trouble; /* NULL without */
    int fd;        /* -1: down */
    nghttp2_session *session;
    struct bytes out; /* frames that the socket has not taken yet */
    ev_io reader, writer;
    ev_timer redial;
    ev_timer grace;     /* active: calls may wait though it is down */
    ev_prepare flusher; /* active: there may be something to write */
    double pause_s;
    struct rpc_list calls;
    struct rpc_list noted;
    size_t count;
    bool is_in_turn;
    bool is_broken; /* found in a turn; taken down at its end */
    bool is_doomed;
};

struct rpc {
    struct channel *channel;
    struct rpc_request request;
    TAILQ_ENTRY(rpc) link, noted;
    int32_t stream; /* -1: not on a connection */
    bool is_preparing, is_noted, is_paused;
    bool is_out_complete; /* nothing follows what is in `out` */
    bool is_closed;       /* the stream is; what came is still to be told */
    bool is_sent, is_lost, has_answer, has_status;
    bool is_grpc;
    struct bytes out, in;
    size_t unconsumed; /* while it is paused */
    size_t answer_at, answer_bytes;
    int http_status;
    enum remora_code code;
    enum remora_effect effect;
    char *words;
    char *details; /* decoded */
    size_t details_bytes;
    ev_timer deadline;
};

void bytes_append(struct bytes *bytes, const void *data, size_t len);
void bytes_fini(struct bytes *bytes);

/* --- channel.c */
void channel_turn(struct channel *channel);
/* Something is to be written when the loop has nothing else to do. */
void channel_wake(struct channel *channel);

/* --- session.c */
bool session_open(struct channel *channel);
/* False: the connection is to be given up. */
bool session_read(struct channel *channel);
bool session_write(struct channel *channel);
/* False: it could not be. */
bool session_submit(struct rpc *rpc);

/* --- rpc.c */
/* There is something to be told of it. */
void rpc_note(struct rpc *rpc);
/* Tells what there is; the call may be gone afterwards. */
void rpc_tell(struct rpc *rpc);
void rpc_take(struct rpc *rpc, const uint8_t *data, size_t len);
void rpc_fail(struct rpc *rpc, enum remora_code code, enum remora_effect effect, const char *words);
void rpc_on_header(struct rpc *rpc, struct remora_slice name, struct remora_slice value);
void rpc_on_close(struct rpc *rpc, uint32_t error);
/* The connection is gone. */
void rpc_on_lost(struct rpc *rpc, const char *why);
void rpc_free(struct rpc *rpc);

#endif
