/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP middleware: a request's way through a pipeline of the Configuration, before anything is done
 * about it. Each component of the pipeline sees the head as its predecessors have left it. One that
 * fails or is away ends the request; one that is named but not configured is passed by, as in the
 * reference.
 */
#ifndef API_MIDDLEWARE_H
#define API_MIDDLEWARE_H

#include "api/request.h"
#include "config/pipeline.h"
#include "http/http.h"

/* A request on its way: what a component may change. Slices are in the arena or borrowed for the
 * duration of the call. */
struct middleware_request {
    struct slice method;
    struct slice path;  /* raw, without the query */
    struct slice query; /* raw, without the question mark */
    struct slice authority;
    const struct http_header *headers;
    size_t header_count;
    bool is_for_app;
    struct slice peer_address; /* of the client; may be empty */
    /* The whole body, read when the first component wants it. On failure the error is recorded. */
    err_t (*read_body)(struct request *rq, void *arg, struct slice *ret_body);
    void *arg;
    /* What came of it. */
    bool has_body; /* the body has been read, or exchanged: this is it */
    struct slice body;
};

struct middleware_outcome {
    int status; /* 0: the request goes on; else it is answered, with `body` */
    struct slice body;
    const struct http_header *headers; /* of the answer, whoever gives it */
    size_t header_count;
};

/* Whether some component of it reads bodies. */
bool middleware_reads_body(struct request *rq, const struct pipeline *pipeline);

/* `pipeline` is one of the settings in force. Suspends. An error is recorded in rq: the request may
 * not go on. */
err_t middleware_run(struct request *rq, const struct pipeline *pipeline,
                     struct middleware_request *request,
                     struct middleware_outcome *ret_outcome) WARN_UNUSED;

#endif
