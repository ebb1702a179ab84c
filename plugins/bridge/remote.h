/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component behind a socket. Before it is used, and again whenever what answers there is another
 * process, it is asked what it is (server reflection), told its metadata (Init, once for each of
 * its services that are used), and asked what it can do.
 */
#ifndef BRIDGE_REMOTE_H
#define BRIDGE_REMOTE_H

#include <ev.h>
#include <protobuf-c/protobuf-c.h>

#include "channel.h"

#define BRIDGE_PACKAGE "dapr.proto.components.v1."

enum service {
    SERVICE_STATE = 1u << 0,
    SERVICE_QUERY = 1u << 1,
    SERVICE_TRANSACT = 1u << 2,
    SERVICE_MULTI_MAX = 1u << 3,
    SERVICE_PUBSUB = 1u << 4,
    SERVICE_INPUT = 1u << 5,
    SERVICE_OUTPUT = 1u << 6,
    SERVICE_SECRETS = 1u << 7,
};

struct kind;
struct stream;

struct remote {
    const struct kind *kind;
    char *name;
    char *path;
    struct channel *channel;
    char *init; /* what Init is told, packed; it may hold secrets */
    size_t init_bytes;
    remora_call *init_call; /* NULL once it was answered */
    ev_timer init_timer;
    size_t step;      /* of the preparation */
    bool asks_v1;     /* reflection: v1alpha is not there */
    bool is_prepared; /* it has been, once */
    unsigned services;
    unsigned capabilities;
    uint32_t operations_max;
    char *operations; /* a comma list; NULL without */
    struct stream *streams;
    remora_call *quiesce_call; /* waits for what is on its way */
};

extern const struct kind kind_state, kind_pubsub, kind_binding, kind_secrets;

/* Answers the call, now or later. */
void remote_init(remora_call *call, const struct remora_config *config, const struct kind *kind);
void remote_close(void *self);

/* --- one question for one call of the sidecar --------------------------------------------------*/

struct ask;
/* `reply` is NULL if it has failed, and `end` says how; else of the type that was asked for, valid
 * during the call. It is to answer ask->call. */
typedef void ask_answer(struct ask *ask, void *reply, const struct rpc_end *end);

struct ask {
    struct remote *remote;
    remora_call *call;
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *reply;
    ask_answer *answer;
    const void *arg;
    size_t index; /* for whoever asks again and again */
    struct rpc *rpc;
};

/* Copied into memory of the call. */
void ask_remote(const struct ask *ask);
/* The same once more, from within its answer. */
void ask_again(struct ask *ask);

#endif
