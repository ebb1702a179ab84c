/* SPDX-License-Identifier: Apache-2.0 */
/* The route to this sidecar's own application, over HTTP or gRPC; see invoke_route.h. */
#include "api/invoke_route.h"

#include "api/trace.h"
#include "http/path.h"

/* --- over HTTP ---------------------------------------------------------------------------------*/

/* As an HTTP application gets them. */
static const struct http_header *
headers_for(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    size_t count;
    struct http_header *headers = invoke_passed_headers(rq, call, &count);
    for (size_t i = 0; i < count && call->is_message;) /* metadata that is not text */
        if (slice_has_suffix(headers[i].name, SLICE("-bin")))
            headers[i] = headers[--count];
        else
            i++;
    count += invoke_put_identity(rq, call, rq->kernel->app_id, headers + count);
    *ret_count = count + trace_http_headers(rq, headers + count);
    return headers;
}

/* The URL as the reference shows it. */
static struct slice
url_of(struct request *rq, const struct app_settings *settings, struct slice target)
{
    bool is_v6 = slice_find_byte(settings->host, ':') >= 0;
    return arena_printf(rq->arena, "%s://%s" SLICE_FMT "%s:%u" SLICE_FMT,
                        app_is_tls(settings->protocol) ? "https" : "http", is_v6 ? "[" : "",
                        SLICE_ARG(settings->host), is_v6 ? "]" : "", settings->port,
                        SLICE_ARG(target));
}

static err_t
fail_http(struct request *rq, struct invoke_call *call, struct slice target, err_t err)
{
    struct slice words = invoke_failure_words(rq, call, err);
    struct slice url = url_of(rq, app_settings(call->channel->app), target);
    return invoke_fail(rq, call, err, err_info(err)->grpc,
                       arena_printf(rq->arena, SLICE_FMT " \"" SLICE_FMT "\": " SLICE_FMT,
                                    SLICE_ARG(invoke_operation(rq, call->verb)), SLICE_ARG(url),
                                    SLICE_ARG(words)));
}

static err_t
make_target(struct request *rq, struct invoke_call *call, struct slice path,
            struct slice *ret_target)
{
    struct slice encoded, bad, query = call->query;
    if (!invoke_encode_path(rq->arena, path, &encoded, &bad))
        return invoke_fail(
            rq, call, ERR_DIRECT_INVOKE, GRPC_INTERNAL,
            arena_printf(rq->arena, "parse \"" SLICE_FMT "\": invalid URL escape \"" SLICE_FMT "\"",
                         SLICE_ARG(url_of(rq, app_settings(call->channel->app), path)),
                         SLICE_ARG(bad)));
    ptrdiff_t fragment = slice_find_byte(query, '#'); /* is no part of what is asked for */
    if (fragment >= 0)
        query = slice_first(query, (size_t)fragment);
    if (query.len == 0) {
        *ret_target = encoded;
        return OK;
    }
    char *target = arena_alloc(rq->arena, encoded.len + 1 + query.len);
    memcpy(target, encoded.data, encoded.len);
    target[encoded.len] = '?';
    memcpy(target + encoded.len + 1, query.data, query.len);
    *ret_target = slice_of(target, encoded.len + 1 + query.len);
    return OK;
}

static err_t
exchange(struct request *rq, struct invoke_call *call, struct slice path, struct slice target)
{
    struct client_head head = { .method = call->verb,
                                .target = target,
                                .body_length = call->body_length };
    head.headers = headers_for(rq, call, &head.header_count);
    err_t err = app_http_start(rq->task, call->channel, &head, &call->http); /* suspends */
    if (err != OK)
        return err;
    call->http.path = path;           /* as metrics show it */
    err = invoke_send_body(rq, call); /* suspends */
    if (err == OK || err == ERR_PEER_LOST)
        err = client_head(rq->task, &call->http.call); /* suspends */
    return err;
}

static err_t
start_http(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct slice target = SLICE_EMPTY;
    if (call->verb.len == 0 || slice_eq(call->verb, SLICE("CONNECT")))
        return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INVALID_ARGUMENT,
                           SLICE("rpc error: code = InvalidArgument desc = invalid HTTP verb"));
    err_t err = make_target(rq, call, path, &target);
    if (err != OK)
        return err;
    err = exchange(rq, call, path, target); /* suspends */
    if (err != OK)
        return fail_http(rq, call, target, err);
    const struct client_call *answer = &call->http.call;
    call->status = answer->status;
    call->answer_length = answer->content_length;
    invoke_take_headers(rq, call, answer->headers, answer->header_count);
    return OK;
}

/* --- over gRPC ---------------------------------------------------------------------------------*/

static const struct http_header *
metadata_for(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    size_t passed, count = 0;
    struct http_header *metadata = invoke_passed_headers(rq, call, &passed);
    for (size_t i = 0; i < passed; i++)
        if (!grpc_is_reserved(metadata[i].name))
            metadata[count++] = metadata[i];
    const struct app_settings *settings = app_settings(call->channel->app);
    struct slice caller_id = call->caller == NULL ? rq->kernel->app_id : call->caller->app_id;
    count += app_grpc_metadata(settings, caller_id,
                               call->caller == NULL ? invoke_own_namespace(rq->kernel)
                                                    : call->caller->namespace_,
                               metadata + count);
    *ret_count = count + trace_grpc_metadata(rq, metadata + count);
    return metadata;
}

static err_t
start_grpc(struct request *rq, struct invoke_call *call, struct slice path)
{
    err_t err = invoke_gather_body(rq, call); /* suspends */
    if (err != OK)
        return err;
    size_t count;
    const struct http_header *metadata = metadata_for(rq, call, &count);
    const struct app_invocation invocation = {
        .method = slice_from(path, 1),
        .verb = call->verb,
        .query = call->query,
        .content_type = call->is_message ? call->content_type
                                         : invoke_header_of(call, SLICE("content-type")),
        .type_url = call->type_url,
        .data = call->body,
        .metadata = metadata,
        .metadata_count = count,
    };
    struct app_invoked *invoked = ARENA_NEW(rq->arena, struct app_invoked);
    err = app_enter(rq->task, call->channel); /* suspends */
    if (err != OK)
        return invoke_fail(rq, call, err, err_info(err)->grpc, invoke_failure_words(rq, call, err));
    err = app_grpc_invoke(rq->task, call->channel, &invocation, invoked); /* suspends */
    app_leave(call->channel);
    if (err != OK)
        return invoke_fail(rq, call, err, invoked->answer.code,
                           arena_printf(rq->arena, "rpc error: code = %s desc = " SLICE_FMT,
                                        grpc_code_name(invoked->answer.code),
                                        SLICE_ARG(invoked->answer.text)));
    invoke_take_invoked(rq, call, invoked);
    return OK;
}

/* --- the route ---------------------------------------------------------------------------------*/

static err_t
start(struct request *rq, struct invoke_call *call, struct slice path)
{
    enum grpc_code code;
    const char *trouble = invoke_app_trouble(rq, &code);
    const struct app *app = kernel_worker_of(rq->task)->app.app;
    if (app == NULL || app_settings(app)->port == 0)
        return invoke_fail(rq, call, ERR_DIRECT_INVOKE, code,
                           SLICE("cannot invoke local endpoint: app channel not initialized"));
    if (trouble != NULL)
        return invoke_fail(
            rq, call, ERR_DIRECT_INVOKE, code,
            arena_printf(rq->arena, "rpc error: code = Internal desc = %s", trouble));
    call->channel = &kernel_worker_of(rq->task)->app;
    return app_is_grpc(app_settings(call->channel->app)->protocol) ? start_grpc(rq, call, path)
                                                                   : start_http(rq, call, path);
}

static err_t
read_answer(struct request *rq, struct invoke_call *call, struct slice *ret_chunk)
{
    if (call->http.channel == NULL) {
        *ret_chunk = call->held_answer;
        call->held_answer = SLICE_EMPTY;
        return OK;
    }
    err_t err = client_read(rq->task, &call->http.call, ret_chunk); /* suspends */
    if (err == OK)
        call->http.received_bytes += ret_chunk->len;
    return err;
}

static void
finish(struct invoke_call *call)
{
    app_http_finish(&call->http);
}

static err_t
write(struct task *t, struct invoke_call *call, struct slice piece)
{
    call->http.sent_bytes += piece.len;
    return client_write(t, &call->http.call, piece); /* suspends */
}

static err_t
end(struct task *t, struct invoke_call *call)
{
    return client_end(t, &call->http.call);
}

const struct invoke_route invoke_app_route = {
    .start = start, .read = read_answer, .finish = finish, .write = write, .end = end
};
