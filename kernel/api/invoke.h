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
 */
#ifndef API_INVOKE_H
#define API_INVOKE_H

#include "api/request.h"
#include "app/app_http.h"
#include "http/http.h"

/* Where the body comes from. read() suspends the task that calls it, which may be another than the
 * request's; it gives an empty piece at the end. */
struct invoke_body {
    err_t (*read)(void *arg, struct slice *ret_chunk);
    bool (*is_here)(void *arg); /* a read would return at once; NULL: never known */
    void *arg;
};

struct invoke_call {
    /* What to call; borrowed until invoke_finish(). */
    struct slice app_id;
    struct slice verb;   /* "GET" */
    struct slice method; /* path as the surface decoded it, with or without the first slash */
    struct slice query;  /* raw, without the question mark */
    const struct http_header *headers;
    size_t header_count;
    int64_t body_length; /* HTTP_LENGTH_UNKNOWN: as much as comes */
    struct slice body;   /* the whole of it, if it is here and source.read is NULL */
    struct invoke_body source;

    /* The answer, after invoke_start(); without what concerns a connection only. */
    int status;
    struct http_header *answer_headers;
    size_t answer_header_count;
    int64_t answer_length; /* HTTP_LENGTH_UNKNOWN: as much as comes */

    /* Of invoke.c. */
    struct app_http_call http;
    struct app_channel *channel;
    struct slice grpc_answer; /* of a gRPC application: all of it, still to be read */
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
/* Why that one cannot be called: it is none, or nobody knows it. Records the error. */
err_t invoke_no_such_app(struct request *rq, struct slice app_id);
/* Whether there is an application that may be called now; ERR_DIRECT_INVOKE with the reason else.
 */
err_t invoke_check_app(struct request *rq, struct slice app_id);

/* A path with dot segments resolved and without duplicate slashes or one at the end, beginning with
 * a slash; false if it holds bytes that no method may have. Not decoded any further. */
bool invoke_clean_method(struct arena *arena, struct slice method, struct slice *ret_path);
/* Such a path as it is sent to an HTTP application; false where an escape in it is none, which is
 * then *ret_bad. */
bool invoke_encode_path(struct arena *arena, struct slice path, struct slice *ret_encoded,
                        struct slice *ret_bad);

#endif
