/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline of middleware before the API; what it makes of a request becomes the request. */
#include "api/middleware.h"
#include "base/limits.h"
#include "surface/http_surface.h"

static err_t
read_body(struct request *rq, void *arg, struct slice *ret_body)
{
    err_t err = http_take_body(arg, ret_body);
    return err == OK ? OK : rq->error.err;
}

/* What the middleware adds to the answer, whoever gives it. There is room: see http_surface.h. */
static void
add_headers(struct http_call *call, const struct middleware_outcome *outcome)
{
    for (size_t i = 0; i < outcome->header_count && call->common_count < HTTP_COMMON_HEADERS_MAX;
         i++)
        call->common[call->common_count++] = outcome->headers[i];
}

static void
go_on(struct http_exchange *x, const struct middleware_request *request)
{
    x->method = request->method;
    x->path = request->path;
    x->query = request->query;
    x->headers = request->headers;
    x->header_count = request->header_count;
    if (request->has_body)
        http_body_replace(x, request->body);
}

bool
http_middleware(struct http_call *call)
{
    struct http_exchange *x = call->x;
    const struct pipeline *pipeline = &settings_of(call->rq.task)->http_pipeline;
    if (pipeline->count == 0)
        return true;
    struct middleware_request request = {
        .method = x->method,
        .path = x->path,
        .query = x->query,
        .authority = x->authority,
        .peer_address = http_peer_address(x),
        .headers = x->headers,
        .header_count = x->header_count,
        .read_body = read_body,
        .arg = call,
        .body = SLICE_EMPTY,
    };
    struct middleware_outcome outcome;
    err_t err = middleware_run(&call->rq, pipeline, &request, &outcome); /* suspends */
    add_headers(call, &outcome);
    if (err != OK)
        http_fail(call);
    else if (outcome.status != 0)
        http_answer(call, outcome.status, NULL, 0, outcome.body);
    else
        go_on(x, &request);
    return err == OK && outcome.status == 0;
}
