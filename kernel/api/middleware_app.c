/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline of middleware before the application; see app/app_filter.h for where it stands. */
#include "api/middleware_app.h"

#include "api/middleware.h"
#include "base/json.h"

static const struct pipeline *
pipeline_of(struct task *t)
{
    return &settings_of(t)->app_http_pipeline;
}

static bool
is_there(struct task *t)
{
    return pipeline_of(t)->count > 0;
}

static bool
reads_body(struct task *t)
{
    struct request rq;
    request_init(&rq, t);
    return middleware_reads_body(&rq, pipeline_of(t));
}

/* The trace context that goes to the application is the middleware's too. */
static void
take_trace(struct request *rq, const struct client_head *head)
{
    for (size_t i = 0; i < head->header_count; i++) {
        if (slice_eq_nocase(head->headers[i].name, SLICE("traceparent")))
            rq->traceparent = head->headers[i].value;
        else if (slice_eq_nocase(head->headers[i].name, SLICE("tracestate")))
            rq->tracestate = head->headers[i].value;
    }
}

/* A component came to read bodies between two looks: what has gone on cannot be shown to it. */
static err_t
no_body(struct request *rq, void *arg, struct slice *ret_body)
{
    (void)arg;
    *ret_body = SLICE_EMPTY;
    return fail(rq, ERR_MIDDLEWARE, "the middleware has just been exchanged, try again");
}

/* As the API says it; the application's caller gets it as the application's answer. */
static void
answer_failure(struct request *rq, struct app_passage *passage)
{
    struct http_header *json = ARENA_NEW(rq->arena, struct http_header);
    *json = (struct http_header){ SLICE("Content-Type"), SLICE("application/json") };
    struct buf text;
    buf_init(&text, rq->error.message.len * 6 + 128);
    bool ok = buf_append(&text, SLICE("{\"errorCode\":\"ERR_MIDDLEWARE\",\"message\":")) &&
              json_write_string(&text, rq->error.message, false) && buf_append(&text, SLICE("}"));
    passage->status = rq->error.http;
    passage->has_body = true;
    passage->headers = json;
    passage->header_count = 1;
    passage->body = ok ? arena_dup(rq->arena, buf_slice(&text)) : SLICE_EMPTY;
    buf_fini(&text);
}

/* "/path?query" again. */
static struct slice
join(struct arena *arena, struct slice path, struct slice query)
{
    struct arena_bytes target = { 0 };
    if (query.len == 0)
        return path;
    arena_append(arena, &target, path);
    arena_append(arena, &target, SLICE("?"));
    arena_append(arena, &target, query);
    return arena_bytes_slice(&target);
}

static err_t
pass(struct task *t, struct app_passage *passage)
{
    struct request rq;
    request_init(&rq, t);
    struct client_head *head = &passage->head;
    take_trace(&rq, head);
    ptrdiff_t mark = slice_find_byte(head->target, '?');
    size_t path_len = mark < 0 ? head->target.len : (size_t)mark;
    struct middleware_request request = {
        .method = head->method,
        .path = slice_first(head->target, path_len),
        .query = slice_from(head->target, path_len + 1),
        .authority = head->authority,
        .headers = head->headers,
        .header_count = head->header_count,
        .is_for_app = true,
        .peer_address = SLICE_EMPTY,
        .read_body = no_body,
        .has_body = passage->has_body,
        .body = passage->body,
    };
    struct middleware_outcome outcome;
    err_t err = middleware_run(&rq, pipeline_of(t), &request, &outcome); /* suspends */
    if (err != OK) {
        answer_failure(&rq, passage);
        return OK;
    }
    passage->status = outcome.status;
    passage->headers = outcome.headers;
    passage->header_count = outcome.header_count;
    passage->has_body = outcome.status != 0 || request.has_body;
    passage->body = outcome.status != 0 ? outcome.body : request.body;
    head->method = request.method;
    head->target = join(rq.arena, request.path, request.query);
    head->headers = request.headers;
    head->header_count = request.header_count;
    return OK;
}

const struct app_filter middleware_app_filter = { .is_there = is_there,
                                                  .reads_body = reads_body,
                                                  .pass = pass };
