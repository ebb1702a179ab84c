/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of a component, for every building block: the call under its policy, and what its
 * failure is called. What the words around a reason are is the block's own affair.
 */
#ifndef API_OPERATION_H
#define API_OPERATION_H

#include "api/request.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

struct operation;

/* Of a write of several items, whose answer may say that some of them have failed. */
struct operation_items {
    /* The code of one that may be tried again; GRPC_OK: there is none. */
    enum grpc_code (*failed)(void *arg, const struct component_call *call);
    /* There is another attempt: it is for those alone. */
    void (*narrow)(void *arg, const struct component_call *call, struct operation *operation);
    void *arg;
};

struct operation {
    uint32_t method;
    bool is_write;
    struct slice message;
    const struct slice *parts; /* of the body, in order */
    size_t part_count;
    struct slice counted_as;             /* empty: as the method is */
    const struct operation_items *items; /* NULL: it succeeds or fails as a whole */
    bool
        *ret_is_unclear; /* set if some attempt failed and may have been carried out; may be NULL */
};

/* Metadata as the contract's messages carry them; NULL if there are none. */
Remora__Plugin__V1__Pair **
operation_pack_pairs(struct arena *arena, const struct pair *pairs, size_t count);

/* The component of that kind and name, or NULL, counted until the request ends. While the sidecar
 * starts its components this waits for them, unless a plugin asks, which may be one of theirs. */
struct component *
operation_component(struct request *rq, enum component_kind kind, struct slice name);

/* Suspends. `ret_call` must be finished whatever comes back; a failure the plugin decided is in its
 * status, not in the err_t. */
err_t operation_run(struct request *rq, struct component *component,
                    const struct operation *operation, struct component_call *ret_call) WARN_UNUSED;

static inline bool
operation_has_failed(err_t err, const struct component_call *call)
{
    return err != OK || call->bus.call.status.code != GRPC_OK;
}

/* Why it failed, for people. */
struct slice operation_reason(struct request *rq, err_t err, const struct component_call *call);

/* The typed message of an answer of at most so many items; NULL if the plugin sent nonsense. An
 * item without anything in it takes two bytes in the message and a whole struct here. */
const void *operation_unpack(struct request *rq, const ProtobufCMessageDescriptor *descriptor,
                             size_t items_max, const struct component_call *call);

#endif
