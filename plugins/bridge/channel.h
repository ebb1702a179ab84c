/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC to one socket: a connection (HTTP/2 in clear text) that is made when it is first needed and
 * made again whenever it is lost, and the calls on it. Everything runs on the plugin's loop.
 *
 * What answers behind a socket after it was lost is another process, which knows nothing of the
 * component. So a new connection is the owner's at first: it prepares what is there with calls of
 * its own (channel_prepare()) and says channel_ready(). All other calls wait for that, for a short
 * while after the connection was lost, and fail at once while there is no hope.
 *
 * Answers come from outside: their size is bounded, their headers are, what is malformed ends the
 * call, or the connection. Nothing here calls back before the function that it was given to has
 * returned, and nothing is called back about a call that was cancelled.
 */
#ifndef BRIDGE_CHANNEL_H
#define BRIDGE_CHANNEL_H

#include <remora_plugin.h>

struct channel;
struct rpc;

enum {
    RPC_ANSWER_BYTES_MAX = 64 * 1024 * 1024, /* one message of a component */
    RPC_DETAILS_BYTES_MAX = 8192,            /* of an error, as it is on the wire */
    RPC_WORDS_BYTES_MAX = 2048,              /* of an error */
    CHANNEL_CALLS_MAX = 4096,                /* open and waiting; more are refused */
};

/* How a call has ended; valid during the callback. */
struct rpc_end {
    enum remora_code code;
    enum remora_effect effect;
    const char *words;
    bool is_of_component;        /* it has said so itself; else the way to it has failed */
    struct remora_slice details; /* google.rpc.Status, as it came; empty without */
    struct remora_slice answer;  /* of a call with one answer that is REMORA_OK */
};

typedef void rpc_done(void *arg, const struct rpc_end *end);
/* A message of a stream; valid during the callback. */
typedef void rpc_message(void *arg, struct remora_slice message);

struct rpc_request {
    const char *method;   /* "/package.Service/Method"; constant */
    uint64_t timeout_ms;  /* UINT64_MAX: none */
    rpc_done *done;       /* once, unless it is cancelled; the call is gone when it returns */
    rpc_message *message; /* NULL: one message each way */
    void *arg;
};

/* A connection is there and is the owner's to prepare. */
typedef void channel_connected(void *arg);
/* `path` and `instance` are copied: the latter goes with every call. */
struct channel *
channel_new(const char *path, const char *instance, channel_connected *connected, void *arg);
/* Cancels its calls. */
void channel_free(struct channel *channel);
/* Connects if it is not connected. */
void channel_open(struct channel *channel);
void channel_ready(struct channel *channel);
/* What is there cannot be used: another connection is tried, later and later. */
void channel_refuse(struct channel *channel, const char *why);
/* Why there is no connection, for people; "" if there is one. */
const char *channel_trouble(const struct channel *channel);

/* `message` is what is sent, whole; with a stream the first, and none if its data are NULL. */
struct rpc *
rpc_start(struct channel *channel, const struct rpc_request *request, struct remora_slice message);
/* The same on a connection that is being prepared. */
struct rpc *channel_prepare(struct channel *channel, const struct rpc_request *request,
                            struct remora_slice message);
/* One more message of a stream. */
void rpc_send(struct rpc *rpc, struct remora_slice message);
/* Nothing is sent after what was: the other side ends the stream. */
void rpc_finish(struct rpc *rpc);
/* No message is called back until it is resumed. */
void rpc_pause(struct rpc *rpc);
void rpc_resume(struct rpc *rpc);
/* It is gone; nothing is called back. */
void rpc_cancel(struct rpc *rpc);

#endif
