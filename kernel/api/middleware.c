/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP middleware; see middleware.h. */
#include "api/middleware.h"

#include "api/operation.h"
#include "base/limits.h"
#include "http/chars.h"

typedef Remora__Plugin__V1__MiddlewareRequest request_t;
typedef Remora__Plugin__V1__MiddlewareReply reply_t;
typedef Remora__Plugin__V1__MiddlewareHeader header_t;

static err_t
fail_handler(struct request *rq, const struct component *handler, struct slice reason)
{
    return fail(rq, ERR_MIDDLEWARE, "middleware " SLICE_FMT " failed: " SLICE_FMT,
                SLICE_ARG(handler->facts->name), SLICE_ARG(reason));
}

/* NULL: no such component is configured, and the request passes. Suspends while components are
 * started for the first time. */
static struct component *
find_handler(struct request *rq, const struct pipeline_handler *handler)
{
    struct component *component = operation_component(rq, COMPONENT_MIDDLEWARE, handler->name);
    return component != NULL && slice_eq_nocase(component->facts->type, handler->type) ? component
                                                                                       : NULL;
}

bool
middleware_reads_body(struct request *rq, const struct pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->count; i++) {
        const struct component *handler = find_handler(rq, &pipeline->handlers[i]);
        if (handler != NULL && (handler->facts->capabilities & READS_REQUEST_BODY) != 0)
            return true;
    }
    return false;
}

/* --- the question ------------------------------------------------------------------------------*/

static struct slice
pack(struct request *rq, const struct middleware_request *request)
{
    request_t out = REMORA__PLUGIN__V1__MIDDLEWARE_REQUEST__INIT;
    header_t *headers = ARENA_ARRAY(rq->arena, header_t, request->header_count);
    header_t **list = ARENA_ARRAY(rq->arena, header_t *, request->header_count);
    for (size_t i = 0; i < request->header_count; i++) {
        list[i] = &headers[i];
        remora__plugin__v1__middleware_header__init(list[i]);
        headers[i].name = pb_string(rq->arena, request->headers[i].name);
        headers[i].value = pb_bytes(request->headers[i].value);
    }
    out.method = pb_string(rq->arena, request->method);
    out.path = pb_bytes(request->path);
    out.query = pb_bytes(request->query);
    out.authority = pb_bytes(request->authority);
    out.n_headers = request->header_count;
    out.headers = list;
    out.is_for_app = request->is_for_app;
    out.peer_address = pb_string(rq->arena, request->peer_address);
    return pb_pack(rq->arena, &out.base);
}

/* --- the verdict -------------------------------------------------------------------------------*/

static bool
is_token(struct slice s)
{
    return s.len > 0 && chars_are(s, CHAR_TOKEN);
}

static bool
is_header(const header_t *header)
{
    return is_token(slice_str(header->name)) && chars_are_value(pb_slice(header->value));
}

/* Nothing of it can spoil a head, or is more than one may hold. */
static bool
is_sound(const reply_t *reply)
{
    bool ok = (reply->status == 0 || (reply->status >= 200 && reply->status <= 599)) &&
              reply->n_headers <= LIMIT_middleware_headers_max &&
              reply->n_sets <= LIMIT_middleware_headers_max &&
              reply->n_removes <= LIMIT_middleware_headers_max;
    struct slice path = pb_slice(reply->path), method = slice_str(reply->method);
    ok = ok && (path.len == 0 || (path.data[0] == '/' && slice_find_byte(path, '?') < 0));
    ok = ok && chars_are(path, CHAR_TARGET) && chars_are(pb_slice(reply->query), CHAR_TARGET);
    ok = ok && (method.len == 0 || is_token(method));
    for (size_t i = 0; ok && i < reply->n_headers; i++)
        ok = is_header(reply->headers[i]);
    for (size_t i = 0; ok && i < reply->n_sets; i++)
        ok = is_header(reply->sets[i]);
    return ok;
}

static bool
is_replaced(const reply_t *reply, struct slice name)
{
    for (size_t i = 0; i < reply->n_removes; i++)
        if (slice_eq_nocase(name, slice_str(reply->removes[i])))
            return true;
    for (size_t i = 0; i < reply->n_sets; i++)
        if (slice_eq_nocase(name, slice_str(reply->sets[i]->name)))
            return true;
    return false;
}

static void
change_headers(struct request *rq, const reply_t *reply, struct middleware_request *request)
{
    if (reply->n_removes == 0 && reply->n_sets == 0)
        return;
    struct http_header *headers = ARENA_ARRAY(rq->arena, struct http_header,
                                              request->header_count + reply->n_sets);
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        if (!is_replaced(reply, request->headers[i].name))
            headers[count++] = request->headers[i];
    for (size_t i = 0; i < reply->n_sets; i++)
        headers[count++] = (struct http_header){ slice_str(reply->sets[i]->name),
                                                 pb_slice(reply->sets[i]->value) };
    request->headers = headers;
    request->header_count = count;
}

static void
change(struct request *rq, const reply_t *reply, struct middleware_request *request)
{
    if (reply->method[0] != '\0')
        request->method = slice_str(reply->method);
    if (reply->path.len > 0)
        request->path = pb_slice(reply->path);
    if (reply->sets_query)
        request->query = pb_slice(reply->query);
    change_headers(rq, reply, request);
}

static err_t
add_answer_headers(struct request *rq, const struct component *handler, const reply_t *reply,
                   struct middleware_outcome *outcome)
{
    size_t count = outcome->header_count;
    if (reply->n_headers == 0)
        return OK;
    if (count + reply->n_headers > LIMIT_middleware_headers_max)
        return fail_handler(rq, handler, SLICE("too many headers for the answer"));
    struct http_header *headers = ARENA_ARRAY(rq->arena, struct http_header,
                                              count + reply->n_headers);
    for (size_t i = 0; i < count; i++)
        headers[i] = outcome->headers[i];
    for (size_t i = 0; i < reply->n_headers; i++)
        headers[count++] = (struct http_header){ slice_str(reply->headers[i]->name),
                                                 pb_slice(reply->headers[i]->value) };
    outcome->headers = headers;
    outcome->header_count = count;
    return OK;
}

/* The call must not be finished yet. Its message is in the task's arena afterwards. */
static err_t
take_verdict(struct request *rq, const struct component *handler, struct component_call *call,
             struct middleware_request *request, struct middleware_outcome *outcome)
{
    if (call->bus.call.message.len == 0) /* it goes on as it is */
        return OK;
    const reply_t *reply = operation_unpack(rq, &remora__plugin__v1__middleware_reply__descriptor,
                                            3 * LIMIT_middleware_headers_max, call);
    if (reply == NULL || !is_sound(reply))
        return fail_handler(rq, handler, SLICE("the plugin's answer is malformed"));
    err_t err = add_answer_headers(rq, handler, reply, outcome);
    if (err != OK)
        return err;
    struct slice body = SLICE_EMPTY;
    if (reply->status != 0 || reply->sets_body) {
        err = bus_call_body_all(rq->task, &call->bus, rq->kernel->body_bytes_max, &body);
        if (err != OK) /* suspended */
            return fail_handler(rq, handler, operation_reason(rq, err, call));
    }
    outcome->status = (int)reply->status;
    outcome->body = body;
    if (reply->status != 0)
        return OK;
    change(rq, reply, request);
    if (reply->sets_body) {
        request->has_body = true;
        request->body = body;
    }
    return OK;
}

/* --- the way -----------------------------------------------------------------------------------*/

static err_t
ask(struct request *rq, struct component *handler, struct middleware_request *request,
    struct middleware_outcome *outcome)
{
    bool reads = (handler->facts->capabilities & READS_REQUEST_BODY) != 0;
    if (reads && !request->has_body) {
        err_t err = request->read_body(rq, request->arg, &request->body); /* suspends */
        if (err != OK)
            return err;
        request->has_body = true;
    }
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_MIDDLEWARE_HANDLE,
        .is_write = true, /* asked twice, it may count twice */
        .message = pack(rq, request),
        .parts = &request->body,
        .part_count = reads ? 1 : 0,
    };
    struct component_call call;
    err_t err = operation_run(rq, handler, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = fail_handler(rq, handler, operation_reason(rq, err, &call));
    else
        err = take_verdict(rq, handler, &call, request, outcome);
    component_call_finish(rq->task, &call);
    return err;
}

err_t
middleware_run(struct request *rq, const struct pipeline *pipeline,
               struct middleware_request *request, struct middleware_outcome *ret_outcome)
{
    /* Those it comes from: they may be exchanged while somebody is asked. */
    struct settings *settings = settings_ref(kernel_worker_of(rq->task)->settings);
    *ret_outcome = (struct middleware_outcome){ .body = SLICE_EMPTY };
    err_t err = OK;
    for (size_t i = 0; err == OK && ret_outcome->status == 0 && i < pipeline->count; i++) {
        struct component *handler = find_handler(rq, &pipeline->handlers[i]);
        if (handler != NULL)
            err = ask(rq, handler, request, ret_outcome); /* suspends */
    }
    settings_unref(settings);
    return err;
}
