/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service invocation: a call of one application by another through their sidecars, whichever
 * surface it came through and whichever protocol the callee speaks. Bodies of both directions are
 * streams: nothing is held but what is on its way.
 *
 *     err = invoke_start(rq, &call);                    // until the callee's head is there
 *     while (err == OK && (err = invoke_read(rq, &call, &chunk)) == OK && chunk.len > 0)
 *         …
 *     invoke_finish(rq, &call);                         // whatever happened, once
 *
 * Who is called is a route (invoke_route.h): the own application, that of another sidecar, or an
 * endpoint that has no sidecar.
 */
#ifndef API_INVOKE_H
#define API_INVOKE_H

#include "api/request.h"
#include "app/app_http.h"
#include "app/grpc_app.h"
#include "http/http.h"

struct attempt;
struct invoke_route;

/* Where the body comes from. read() suspends the task that calls it, which may be another than the
 * request's; it gives an empty piece at the end. */
struct invoke_body {
    err_t (*read)(void *arg, struct slice *ret_chunk);
    bool (*is_here)(void *arg); /* a read would return at once; NULL: never known */
    void *arg;
};

/* Whose call it is. */
struct invoke_caller {
    struct slice app_id;
    struct slice namespace_;
};

struct invoke_call {
    /* What to call; borrowed until invoke_finish(). */
    struct slice app_id;
    struct slice verb;   /* "GET"; empty: it did not come over HTTP */
    struct slice method; /* path as the surface decoded it, with or without the first slash */
    struct slice query;  /* raw, without the question mark */
    const struct http_header *headers;
    size_t header_count;
    int64_t body_length; /* HTTP_LENGTH_UNKNOWN: as much as comes */
    struct slice body;   /* the whole of it, if it is here and source.read is NULL */
    struct invoke_body source;
    size_t keep_bytes_max; /* of a body of known length, in case it is sent again */
    /* Another sidecar's: the call is for our application then, whatever it is named. NULL: of the
     * application of this sidecar. */
    const struct invoke_caller *caller;
    /* It came as a message (InvokeService, or from another sidecar): the answer of a gRPC
     * application stays one, in `invoked`. */
    bool is_message;
    struct slice content_type; /* of a message */
    struct slice type_url;     /* likewise; may be empty */

    /* The answer, after invoke_start(); without what concerns a connection only. */
    const struct app_invoked *invoked; /* a gRPC application's, whole; NULL: what follows counts */
    int status;
    struct http_header *answer_headers;
    size_t answer_header_count;
    int64_t answer_length; /* HTTP_LENGTH_UNKNOWN: as much as comes */

    /* After a failure, beside rq->error: its cause, for who reports it in other words. */
    struct slice failure;
    enum grpc_code failure_code;

    /* Of the routes. */
    const struct invoke_route *route;
    struct attempt *attempt; /* under policies; NULL: there are none */
    struct app_http_call http;
    struct app_channel *channel;
    void *state;
    struct slice held_answer; /* the rest of an answer that is here as a whole */
    struct invoke_upload *upload;
    bool is_begun;
};

/* Suspends. On failure rq->error says what a client is told: ERR_DIRECT_INVOKE. */
err_t invoke_start(struct request *rq, struct invoke_call *call) WARN_UNUSED;
/* The next piece of the answer's body, valid until the next call; empty at its end. Suspends. An
 * error means that the answer was cut. */
err_t
invoke_read(struct request *rq, struct invoke_call *call, struct slice *ret_chunk) WARN_UNUSED;
/* Suspends for a moment where something is still being sent. */
void invoke_finish(struct request *rq, struct invoke_call *call);

/* Whether an app id, perhaps with a namespace behind a dot, is the sidecar's own. */
bool invoke_is_self(const struct request *rq, struct slice app_id);
/* A verb that changes nothing, and seldom has a body. */
bool invoke_is_safe(struct slice verb);
/* "default" if none is set. */
struct slice invoke_own_namespace(const struct kernel *kernel);
/* What the sidecar of an application must prove to be; empty without mutual TLS. */
struct slice invoke_peer_id(struct request *rq, struct slice id, struct slice namespace_);
/* The next instance of an application in turn that its circuit breaker lets a call through to.
 * Suspends. ERR_NOT_RESOLVED, or ERR_BREAKER_OPEN if all refuse, with words in the diag. */
err_t invoke_choose_peer(struct request *rq, struct attempt *attempt, struct slice id,
                         struct slice namespace_, struct slice *ret_address) WARN_UNUSED;
/* NULL if there is an application that may be called now; else why not, with the status. */
const char *invoke_app_trouble(const struct request *rq, enum grpc_code *ret_code);

/* A path with dot segments resolved and without duplicate slashes or one at the end, beginning with
 * a slash; false if it holds bytes that no method may have. Not decoded any further. */
bool invoke_clean_method(struct arena *arena, struct slice method, struct slice *ret_path);
/* Such a path as it is sent to an HTTP application; false where an escape in it is none, which is
 * then *ret_bad. */
bool invoke_encode_path(struct arena *arena, struct slice path, struct slice *ret_encoded,
                        struct slice *ret_bad);

#endif
