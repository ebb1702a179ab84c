/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC surface: messages of the public API in, api/ calls, messages out. Nothing of what a
 * building block means is decided here. A handler of methods.def reads its request, calls one
 * function of api/, and ends the call through the functions below.
 */
#ifndef SURFACE_GRPC_SURFACE_H
#define SURFACE_GRPC_SURFACE_H

#include "api/request.h"
#include "base/pb.h"
#include "http/grpc.h"

struct rpc {
    struct grpc_call call;
    struct request rq;
};

typedef void grpc_method_fn(struct rpc *rpc);

#define GRPC_METHOD(rpc, handler) grpc_method_fn handler;
#include "api/methods.def"

/* Handler for h2_server_new(); x->server_arg is the struct kernel. */
void grpc_api_handle(struct http_exchange *x);

/* Services of ours; NULL behind the last. Each is answered by one function, by its method. */
extern const char *const grpc_service_names[];
grpc_method_fn grpc_health;
grpc_method_fn grpc_reflection;

/* --- for handlers ------------------------------------------------------------------------------*/

/* The request's one message, in the arena. NULL: the call has been ended. Suspends. */
const void *rpc_request(struct rpc *rpc, const ProtobufCMessageDescriptor *descriptor) WARN_UNUSED;

/* Before an answer that may be large takes memory; see http_admit(). False: the call has been
 * ended. Suspends. */
bool rpc_admit(struct rpc *rpc) WARN_UNUSED;

/* The same without looking inside. False: the call has been ended. Suspends. */
bool rpc_read_one(struct rpc *rpc, struct slice *ret_bytes) WARN_UNUSED;

/* Each ends the call: with a message, with an empty one, with a status of its own, with what
 * rq->error says. */
void rpc_reply(struct rpc *rpc, const ProtobufCMessage *message);
void rpc_empty(struct rpc *rpc);
void rpc_end(struct rpc *rpc, enum grpc_code code, struct slice text);
void rpc_fail(struct rpc *rpc);

/* Trace context and baggage of the client; `is_ours`: of a service of ours. False: the call has
 * been ended. */
bool rpc_begin_trace(struct rpc *rpc, bool is_ours) WARN_UNUSED;
/* Metrics, log and span of a call that is over. */
void rpc_observe(struct rpc *rpc, uint64_t started_ns, bool is_logged);

/* grpc_trace.c: the context of a call and, if it is recorded, its span. `is_ours`: of the service
 * Dapr. */
void grpc_trace_begin(struct rpc *rpc, bool is_ours);
void grpc_trace_request(struct rpc *rpc, const ProtobufCMessage *message);
void grpc_trace_end(struct rpc *rpc, uint64_t took_ns);

/* grpc_proxy.c: hands the call to the application that its metadata name, or, coming from another
 * sidecar, to ours if it is that. Suspend. */
void grpc_proxy(struct rpc *rpc);
void grpc_proxy_in(struct rpc *rpc);
/* grpc_invoke.c: metadata of a client that is not passed on: it was meant for the sidecar, or is
 * said anew. */
bool grpc_is_for_sidecar(struct slice name);

/* grpc_error.c: rq->error as a packed google.rpc.Status; empty if there are no details. */
struct slice grpc_error_details(struct request *rq);

#define RPC_MALFORMED                                                                              \
    SLICE("grpc: error unmarshalling request: proto: cannot parse invalid wire-format data")

/* grpc_message.c: a request's message, in the arena. NULL: malformed, and why. */
const ProtobufCMessage *
grpc_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
            struct slice *ret_words) WARN_UNUSED;

/* Entries of a map of strings as pairs; the generated entry types differ in name only. */
#define RPC_PAIRS(arena, entries, entry_count, ret_pairs)                                          \
    do {                                                                                           \
        struct pair *rpc_pairs = ARENA_ARRAY((arena), struct pair, (entry_count) + 1);             \
        for (size_t rpc_i = 0; rpc_i < (entry_count); rpc_i++)                                     \
            rpc_pairs[rpc_i] = (struct pair){ slice_str((entries)[rpc_i]->key),                    \
                                              slice_str((entries)[rpc_i]->value) };                \
        *(ret_pairs) = rpc_pairs;                                                                  \
    } while (0)

#endif
