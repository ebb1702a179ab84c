/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One API request, whichever surface it came through. It stands on its task's stack; what it points
 * to lives in the task's arena. Functions whose first parameter is a struct request may suspend.
 *
 * An error is recorded with fail() or its richer sisters and the err_t is returned; the surface
 * writes what was recorded in its own form.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "api/kernel.h"
#include "base/err.h"
#include "base/slice.h"

struct pair {
    struct slice name;
    struct slice value;
};

/* What a client is told. Texts are in the arena or constant. */
struct api_error {
    err_t err;
    int http;
    enum grpc_code grpc;
    struct slice message;
    /* Rich errors: reason of err_info() set. The details appear in this order. */
    bool has_violation;
    struct slice violation_field; /* empty: left out */
    bool has_resource;
    struct slice resource_type;
    struct slice resource_name;
    bool resource_has_words; /* the message describes it */
    const char *help_url;    /* NULL: none */
    const char *help_text;
    struct slice reason;     /* of ErrorInfo, instead of the error's own; empty: that */
    const struct pair *info; /* metadata of ErrorInfo; NULL: null; may be none: {} */
    size_t info_count;
};

struct request {
    struct task *task;
    struct arena *arena;
    struct kernel *kernel;
    struct component_table *components;
    uint32_t depth;           /* of plugin to kernel to plugin calls */
    uint64_t *turn;           /* of the client's connection: see struct client_head; may be NULL */
    struct slice traceparent; /* of our span, else of the client; empty if none */
    struct slice tracestate;
    struct slice traceparent_odd; /* what the client sent instead of a well-formed one */
    struct slice baggage;         /* of the client, valid; empty if none */
    struct span *span;            /* what is recorded of the request; NULL: nothing is */
    struct api_error error;
};

void request_init(struct request *rq, struct task *t);

/* Records an error with the code's own statuses; returns err. */
#define fail(rq, err, ...) request_fail((rq), (err), __VA_ARGS__)
err_t request_fail(struct request *rq, err_t err, const char *format, ...) PRINTF_LIKE(3, 4);

/* Adds to the error just recorded. The second describes the resource in the words of the error. */
void error_add_resource(struct request *rq, const char *type, struct slice name);
void error_add_described_resource(struct request *rq, const char *type, struct slice name);
void error_add_info(struct request *rq, const char *name, struct slice value);
void error_add_empty_info(struct request *rq);

#endif
