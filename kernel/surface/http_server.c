/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of every HTTP request: guard, route, handler. A request that no route takes may be a
 * service invocation by header.
 */
#include "async/offload.h"
#include "base/limits.h"
#include "http/path.h"
#include "http/query.h"
#include "surface/api_list.h"
#include "surface/http_surface.h"

static void
begin(struct http_call *call, struct http_exchange *x)
{
    *call = (struct http_call){ .x = x, .started_ns = task_worker(x->task)->now_ns };
    request_init(&call->rq, x->task);
    call->rq.turn = x->turn;
}

static void
not_found(struct http_call *call)
{
    http_plain(call, 404, SLICE("404 page not found\n"));
}

/* Where invocations are not allowed there is nobody for a path that is no other's. */
static http_method_fn *
handler_of(struct http_call *call)
{
    http_method_fn *handler = http_is_invocation(call->x) ? NULL : http_route(call);
    if (handler == NULL)
        handler = http_invoke;
    bool is_invocation = handler == http_invoke;
    return is_invocation && !api_list_allows_path(&call->rq, "v1.0/invoke") ? not_found : handler;
}

static void
answer(struct http_call *call)
{
    if (!http_guard(call, false))
        return;
    call->is_past_guard = true;
    if (!http_middleware(call)) /* suspends */
        return;
    handler_of(call)(call); /* suspends */
}

void
http_api_handle(struct http_exchange *x)
{
    struct http_call call;
    begin(&call, x);
    answer(&call); /* suspends */
    http_observe(&call, false);
}

static void
answer_public(struct http_call *call)
{
    if (!http_guard(call, true))
        return;
    http_method_fn *handler = http_route(call);
    if (handler == http_health || handler == http_health_outbound || handler == http_metadata_get)
        handler(call); /* suspends */
    else
        not_found(call);
}

void
http_public_handle(struct http_exchange *x)
{
    struct http_call call;
    begin(&call, x);
    answer_public(&call); /* suspends */
    http_observe(&call, true);
}

err_t
http_take_body(struct http_call *call, struct slice *ret_body)
{
    uint64_t outer = task_deadline_push(call->rq.task, LIMIT_http_body_total_ms);
    err_t err = http_body_read_all(call->x, call->rq.kernel->body_bytes_max, ret_body);
    task_deadline_pop(call->rq.task, outer);
    if (err == ERR_TOO_LARGE)
        (void)fail(&call->rq, ERR_MALFORMED_REQUEST, "stream too large");
    else if (err != OK)
        (void)fail(&call->rq, ERR_MALFORMED_REQUEST, "failed to read the request body");
    return err;
}

bool
http_read_body(struct http_call *call, struct slice *ret_body)
{
    if (http_take_body(call, ret_body) == OK)
        return true;
    http_fail(call);
    return false;
}

struct parse_job {
    struct request *rq;
    struct slice body;
    http_parse_fn *parse;
    void *ret;
};

static err_t
parse_elsewhere(void *arg)
{
    const struct parse_job *job = arg;
    return job->parse(job->rq, job->body, job->ret);
}

bool
http_parse(struct http_call *call, http_parse_fn *parse, void *ret)
{
    struct parse_job job = { .rq = &call->rq, .parse = parse, .ret = ret };
    if (!http_read_body(call, &job.body))
        return false;
    err_t err = ERR_OVERLOADED;
    if (job.body.len > LIMIT_parse_here_bytes)
        err = offload_run(call->rq.task, parse_elsewhere, &job); /* suspends */
    if (err ==
        ERR_OVERLOADED) /* small, or no thread is to be had: slower for others, never wrong */
        err = parse(&call->rq, job.body, ret);
    if (err != OK)
        http_fail(call);
    return err == OK;
}

void
http_query_metadata(struct http_call *call, const struct pair **ret_pairs, size_t *ret_count)
{
    const struct slice prefix = SLICE("metadata.");
    struct slice rest = call->x->query, name, value;
    struct pair *pairs = NULL;
    size_t count = 0, capacity = 0;
    while (query_next(&rest, call->rq.arena, &name, &value)) {
        if (!slice_has_prefix(name, prefix))
            continue;
        if (count == capacity) {
            size_t more = capacity == 0 ? 4 : capacity * 2;
            pairs = arena_grow(call->rq.arena, pairs, capacity * sizeof *pairs,
                               more * sizeof *pairs);
            capacity = more;
        }
        pairs[count++] = (struct pair){ .name = slice_from(name, prefix.len), .value = value };
    }
    *ret_pairs = pairs;
    *ret_count = count;
}

struct slice
http_option(struct http_call *call, const char *name)
{
    struct slice value;
    if (query_get(call->x->query, call->rq.arena, slice_str(name), &value))
        return value;
    value = http_header_get(call->x, slice_str(name));
    return value.data == NULL ? SLICE_EMPTY : value;
}
