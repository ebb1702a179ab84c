/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP surface: bytes of the HTTP API in, api/ calls, bytes out. Nothing of what a building
 * block means is decided here. A handler of methods.def gets its path parameters decoded, calls one
 * function of api/, and replies through the functions below, which add what every answer of the
 * API carries (trace context, baggage, CORS).
 */
#ifndef SURFACE_HTTP_SURFACE_H
#define SURFACE_HTTP_SURFACE_H

#include "api/request.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "http/http.h"

enum http_verb {
    HTTP_GET = 1u << 0,
    HTTP_POST = 1u << 1,
    HTTP_PUT = 1u << 2,
    HTTP_DELETE = 1u << 3,
    HTTP_OTHER = 1u << 4, /* any other method */
    HTTP_ANY = (1u << 5) - 1,
};

/* Eight of our own and what middleware adds. */
enum {
    HTTP_PARAMS_MAX = 4,
    HTTP_COMMON_HEADERS_MAX = 8 + LIMIT_middleware_headers_max,
    HTTP_OWN_HEADERS_MAX = 8,
};

struct http_call {
    struct http_exchange *x;
    struct request rq;
    struct slice params[HTTP_PARAMS_MAX]; /* decoded */
    size_t param_count;
    const char *rpc;     /* name of the API method, once a route is found; else NULL */
    struct slice target; /* app id of an invocation, once it is known */
    uint64_t started_ns; /* of clock_now_ns() */
    bool is_past_guard;
    /* Sent with every answer to this request. */
    struct http_header common[HTTP_COMMON_HEADERS_MAX];
    size_t common_count;
    const struct http_header *more; /* likewise, any number, borrowed */
    size_t more_count;
};

typedef void http_method_fn(struct http_call *call);

#define HTTP_METHOD(rpc, verbs, path, handler) http_method_fn handler;
#include "api/methods.def"

/* --- entry points ------------------------------------------------------------------------------*/

/* Handlers for h1_server_new(); x->server_arg is the struct kernel. */
void http_api_handle(struct http_exchange *x);
/* The public port: health and metadata only. */
void http_public_handle(struct http_exchange *x);
/* The metrics port: Prometheus text at any path. */
void http_metrics_handle(struct http_exchange *x);

/* --- for handlers ------------------------------------------------------------------------------*/

/* 204 without a body. */
void http_no_content(struct http_call *call);
/* A whole JSON answer. */
void http_json(struct http_call *call, int status, struct slice body);
/* `headers` are added to the common ones; at most HTTP_OWN_HEADERS_MAX. */
void http_answer(struct http_call *call, int status, const struct http_header *headers,
                 size_t header_count, struct slice body);
/* Likewise, but only the head; the caller goes on with http_reply_write(). */
err_t http_answer_start(struct http_call *call, int status, const struct http_header *headers,
                        size_t header_count, int64_t length) WARN_UNUSED;
/* What rq->error says, in the reference's form. */
void http_fail(struct http_call *call);
/* Text as the reference's router and middleware answer it: text/plain with nosniff. */
void http_plain(struct http_call *call, int status, struct slice text);

/* The request body, up to the limit. On failure the error is recorded. */
err_t http_take_body(struct http_call *call, struct slice *ret_body) WARN_UNUSED;
/* Likewise; on failure the answer has been given. */
bool http_read_body(struct http_call *call, struct slice *ret_body) WARN_UNUSED;

/* Reads the body and runs `parse` over it; both failures have been answered when it is false. A
 * large body is parsed on another thread, so that the worker's other requests do not wait for it:
 * `parse` must not suspend. */
typedef err_t http_parse_fn(struct request *rq, struct slice body, void *ret);
bool http_parse(struct http_call *call, http_parse_fn *parse, void *ret) WARN_UNUSED;

/* `metadata.NAME=value` of the query string; NULL and 0 if there are none. */
void http_query_metadata(struct http_call *call, const struct pair **ret_pairs, size_t *ret_count);
/* A query parameter, else the header of that name, else empty. */
struct slice http_option(struct http_call *call, const char *name);

/* A JSON answer of unknown size: small ones are sent with their length, larger ones in pieces. */
struct http_json_writer {
    struct http_call *call;
    struct buf buf;
    bool has_started;
    err_t err; /* the client is gone: everything else is skipped */
};

void http_json_writer_init(struct http_json_writer *writer, struct http_call *call);
void http_json_put(struct http_json_writer *writer, struct slice bytes);
void http_json_put_string(struct http_json_writer *writer, struct slice text);
/* Sends the rest. */
void http_json_writer_end(struct http_json_writer *writer);
/* Gives up in the middle: an answer that has begun is cut, else rq->error is sent. */
void http_json_writer_abort(struct http_json_writer *writer);

/* http_route.c: the handler for a path, its parameters; NULL if there is none. */
http_method_fn *http_route(struct http_call *call);

/* http_trace.c: ends the span of a request that is recorded. */
void http_trace(struct http_call *call, int status, uint64_t took_ns);

/* http_invoke.c: whether a path is an invocation's, whatever it names: dots in it are for the
 * application and climb no higher. */
bool http_is_invocation(const struct http_exchange *x);
/* What a path is answered that is nobody's. */
void http_no_target(struct http_call *call);

/* http_observe.c: counts and logs the request that has been answered. */
void http_observe(struct http_call *call, bool is_public);

/* http_middleware.c: the pipeline of the Configuration. False: the request has been answered. */
bool http_middleware(struct http_call *call) WARN_UNUSED;

/* http_guard.c: tokens, CORS, trace context and baggage. False: the request has been answered. */
bool http_guard(struct http_call *call, bool is_public) WARN_UNUSED;

#endif
