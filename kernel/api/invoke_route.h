/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of service invocation: what a route to a callee provides, and what all routes share.
 * invoke.c finds the route; invoke_app.c leads to the own application, invoke_peer.c to that of
 * another sidecar, invoke_endpoint.c to what has no sidecar. Nobody outside includes this.
 */
#ifndef API_INVOKE_ROUTE_H
#define API_INVOKE_ROUTE_H

#include "api/invoke.h"

enum { INVOKE_OWN_HEADERS_MAX = 12 };

struct invoke_route {
    bool is_remote; /* a breaker for each instance, and the built-in retries */
    /* One attempt, until the callee's head is there. `path` is the cleaned method. Failures are
     * recorded with invoke_fail(); the err_t tells policies what they are: ERR_PEER_FAILED where
     * the callee's side has said so in failure_code. Suspends. */
    err_t (*start)(struct request *rq, struct invoke_call *call, struct slice path);
    /* As invoke_read(). */
    err_t (*read)(struct request *rq, struct invoke_call *call, struct slice *ret_chunk);
    /* Gives up what is left of the exchange; another attempt may follow. Never suspends; twice is
     * once. */
    void (*finish)(struct invoke_call *call);
    /* Where the request's body goes; on a task of its own once the first of it is sent. Suspend. */
    err_t (*write)(struct task *t, struct invoke_call *call, struct slice piece);
    err_t (*end)(struct task *t, struct invoke_call *call);
};

extern const struct invoke_route invoke_app_route;
extern const struct invoke_route invoke_peer_route;
extern const struct invoke_route invoke_endpoint_route;

/* Records "failed to invoke, id: ID, err: WORDS"; returns err. */
err_t invoke_fail(struct request *rq, struct invoke_call *call, err_t err, enum grpc_code code,
                  struct slice words);
/* Why the call to the callee broke off, for people: of the client's side if that was it. */
struct slice invoke_failure_words(struct request *rq, const struct invoke_call *call, err_t err);
/* "Get", "Post", …: the verb as it stands in front of URLs in errors. */
struct slice invoke_operation(struct request *rq, struct slice verb);

/* --- the body ----------------------------------------------------------------------------------*/

/* What is sent while the task waits for the answer. */
struct invoke_upload {
    struct invoke_call *call;
    struct task *task;   /* of this alone; NULL: over, or not begun */
    struct task *owner;  /* of the request */
    struct wait *wait;   /* the owner waits for the end of it */
    struct arena *arena; /* of the request */
    size_t bytes;        /* of this attempt */
    bool has_ended;      /* the client has sent everything */
    bool keeps;          /* what was sent so far is in `kept`, for another attempt */
    struct arena_bytes kept;
    size_t replayed; /* of `kept`, by this attempt */
    err_t err;       /* the client's side failed: the callee has not got the whole body */
};

/* Sends what of the body is here through the route, and has another task send the rest: the answer
 * may begin before its end. ERR_PEER_LOST: the callee takes no more, its answer may be there. */
err_t invoke_send_body(struct request *rq, struct invoke_call *call);
/* Whether all of the body can be sent once more: it is short enough to have been kept, or nothing
 * of it has been sent. Bodies of unknown length never are. */
bool invoke_can_repeat(const struct invoke_call *call);
/* The rest of it is not wanted any more. Suspends for a moment. */
void invoke_stop_body(struct request *rq, struct invoke_call *call);
/* All of the body into call->body: for a callee that takes messages. The error is recorded
 * if it is larger than bodies may be or was cut. Suspends. */
err_t invoke_gather_body(struct request *rq, struct invoke_call *call);

/* --- headers -----------------------------------------------------------------------------------*/

/* What of the client's headers goes on, with room for INVOKE_OWN_HEADERS_MAX behind. */
struct http_header *
invoke_passed_headers(struct request *rq, const struct invoke_call *call, size_t *ret_count);
/* Who calls whom: three headers, instead of what a client may have said. */
size_t invoke_put_identity(const struct request *rq, const struct invoke_call *call,
                           struct slice callee_id, struct http_header ret_headers[3]);
/* The answer's headers without what concerns the connection and its framing. */
void invoke_take_headers(struct request *rq, struct invoke_call *call,
                         const struct http_header *headers, size_t count);
/* First of the client's headers of that name (case ignored), or empty. */
struct slice invoke_header_of(const struct invoke_call *call, struct slice name);

/* A gRPC application's answer: as it is for a message, else as HTTP clients get it. `invoked` lives
 * as long as the request. */
void invoke_take_invoked(struct request *rq, struct invoke_call *call,
                         const struct app_invoked *invoked);

#endif
