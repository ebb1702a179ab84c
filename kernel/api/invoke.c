/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service invocation, told in the order of a call: who is meant, may it be called, what is sent,
 * what comes back. The callee here is the sidecar's own application; others are for the mesh.
 */
#include "api/invoke.h"

#include "api/trace.h"
#include "app/grpc_app.h"
#include "async/worker.h"
#include "base/json.h"
#include "base/limits.h"
#include "http/path.h"

enum { OWN_HEADERS_MAX = APP_GRPC_METADATA_MAX, UP_AT_ONCE_BYTES = 128 * 1024 };

/* What is sent while the task waits for the answer. */
struct invoke_upload {
    struct invoke_call *call;
    struct task *task;  /* of this alone; NULL: over, or not begun */
    struct task *owner; /* of the request */
    struct wait *wait;  /* the owner waits for the end of it */
    err_t err;          /* the client's side failed: the callee has not got the whole body */
};

/* --- who is meant ------------------------------------------------------------------------------*/

bool
invoke_is_self(const struct request *rq, struct slice app_id)
{
    const struct kernel *kernel = rq->kernel;
    if (slice_eq(app_id, kernel->app_id))
        return true;
    struct slice own = kernel->namespace_.len > 0 ? kernel->namespace_ : SLICE("default");
    return app_id.len == kernel->app_id.len + 1 + own.len &&
           slice_has_prefix(app_id, kernel->app_id) && app_id.data[kernel->app_id.len] == '.' &&
           slice_has_suffix(app_id, own);
}

static err_t
refuse(struct request *rq, struct slice app_id, const char *why)
{
    return fail(rq, ERR_DIRECT_INVOKE, "failed to invoke, id: " SLICE_FMT ", err: %s",
                SLICE_ARG(app_id), why);
}

err_t
invoke_no_such_app(struct request *rq, struct slice app_id)
{
    size_t dots = 0;
    for (size_t i = 0; i < app_id.len; i++)
        dots += app_id.data[i] == '.';
    if (app_id.len == 0)
        return refuse(rq, app_id, "app id is empty");
    if (slice_has_prefix(app_id, SLICE("http://")) || slice_has_prefix(app_id, SLICE("https://")))
        return refuse(rq, app_id, "endpoints that are no applications cannot be invoked yet");
    return fail(rq, ERR_DIRECT_INVOKE, "failed to invoke, id: " SLICE_FMT ", err: %s" SLICE_FMT,
                SLICE_ARG(app_id),
                dots > 1 ? "invalid app id " : "couldn't find service: ", SLICE_ARG(app_id));
}

err_t
invoke_check_app(struct request *rq, struct slice app_id)
{
    const struct app *app = kernel_worker_of(rq->task)->app.app;
    if (app == NULL || app_settings(app)->port == 0)
        return refuse(rq, app_id, "cannot invoke local endpoint: app channel not initialized");
    if (!app_is_healthy(app))
        return refuse(rq, app_id,
                      "rpc error: code = Internal desc = app is not in a healthy state");
    return OK;
}

/* --- headers -----------------------------------------------------------------------------------*/

/* What concerns one connection and is never passed on, in either direction. */
static bool
is_hop_by_hop(struct slice name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "proxy-connection", "transfer-encoding",   "upgrade",
        "te",         "trailer",    "http2-settings",   "proxy-authorization", "proxy-authenticate",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_nocase(name, slice_str(names[i])))
            return true;
    return false;
}

/* What is said anew for the callee, or was meant for the sidecar. */
static bool
is_replaced(struct slice name)
{
    static const char *const names[] = { "host",
                                         "content-length",
                                         "dapr-app-id",
                                         "dapr-api-token",
                                         "dapr-caller-app-id",
                                         "dapr-caller-namespace",
                                         "dapr-callee-app-id" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_nocase(name, slice_str(names[i])))
            return true;
    return trace_is_header(name);
}

/* The Connection headers name it. */
static bool
is_named(const struct http_header *headers, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (!slice_eq_nocase(headers[i].name, SLICE("connection")))
            continue;
        struct slice rest = headers[i].value, option;
        while (slice_split(&rest, ',', &option))
            if (slice_eq_nocase(slice_trim(option), name))
                return true;
    }
    return false;
}

static bool
is_passed(const struct http_header *headers, size_t count, struct slice name)
{
    return !is_hop_by_hop(name) && !is_named(headers, count, name);
}

static struct slice
own_namespace(const struct kernel *kernel)
{
    return kernel->namespace_.len > 0 ? kernel->namespace_ : SLICE("default");
}

/* HTTP/2 clients send cookies one a header; whoever reads HTTP/1.1 expects one header (RFC 9113
 * section 8.2.3). True if it has been added to one that is there. */
static bool
join_cookie(struct arena *arena, struct http_header *headers, size_t count,
            const struct http_header *cookie)
{
    size_t at = 0;
    while (at < count && !slice_eq_nocase(headers[at].name, SLICE("cookie")))
        at++;
    if (at == count || !slice_eq_nocase(cookie->name, SLICE("cookie")))
        return false;
    struct slice first = headers[at].value, second = cookie->value;
    char *joined = arena_alloc(arena, first.len + 2 + second.len);
    memcpy(joined, first.data, first.len);
    memcpy(joined + first.len, "; ", 2);
    memcpy(joined + first.len + 2, second.data, second.len);
    headers[at].value = slice_of(joined, first.len + 2 + second.len);
    return true;
}

/* What of the client's headers goes on, with room for ours behind. */
static struct http_header *
passed_headers(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    size_t most = call->header_count + OWN_HEADERS_MAX + TRACE_HEADERS_MAX, count = 0;
    struct http_header *headers = ARENA_ARRAY(rq->arena, struct http_header, most);
    for (size_t i = 0; i < call->header_count; i++) {
        const struct http_header *h = &call->headers[i];
        if (is_replaced(h->name) || !is_passed(call->headers, call->header_count, h->name))
            continue;
        if (!join_cookie(rq->arena, headers, count, h))
            headers[count++] = *h;
    }
    *ret_count = count;
    return headers;
}

/* As an HTTP application gets them. */
static const struct http_header *
headers_for(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    size_t count;
    struct http_header *headers = passed_headers(rq, call, &count);
    const struct kernel *kernel = rq->kernel;
    headers[count++] = (struct http_header){ SLICE("Dapr-Caller-App-Id"), kernel->app_id };
    headers[count++] = (struct http_header){ SLICE("Dapr-Caller-Namespace"),
                                             own_namespace(kernel) };
    headers[count++] = (struct http_header){ SLICE("Dapr-Callee-App-Id"), kernel->app_id };
    *ret_count = count + trace_http_headers(rq, headers + count);
    return headers;
}

static void
take_answer_headers(struct request *rq, struct invoke_call *call, const struct http_header *headers,
                    size_t count)
{
    call->answer_headers = ARENA_ARRAY(rq->arena, struct http_header, count);
    for (size_t i = 0; i < count; i++)
        if (is_passed(headers, count, headers[i].name) &&
            !slice_eq_nocase(headers[i].name, SLICE("content-length")))
            call->answer_headers[call->answer_header_count++] = headers[i];
}

/* --- the body going up -------------------------------------------------------------------------*/

/* One piece; *ret_is_end tells that it was the last. */
static err_t
pass_piece(struct task *t, struct invoke_upload *upload, bool *ret_is_end)
{
    struct invoke_call *call = upload->call;
    struct slice piece;
    upload->err = call->source.read(call->source.arg, &piece); /* suspends */
    *ret_is_end = upload->err == OK && piece.len == 0;
    if (upload->err != OK)
        return upload->err;
    call->http.sent_bytes += piece.len;
    return *ret_is_end ? client_end(t, &call->http.call)
                       : client_write(t, &call->http.call, piece); /* suspends */
}

static void
upload_main(struct task *t, void *arg)
{
    struct invoke_upload *upload = arg;
    bool is_end = false;
    err_t err = OK;
    while (err == OK && !is_end)
        err = pass_piece(t, upload, &is_end); /* suspends */
    upload->task = NULL;
    if (upload->wait != NULL)
        wait_done(upload->wait, OK);
    else if (upload->err != OK)
        task_cancel(upload->owner); /* the answer it waits for would be one to half a request */
}

/* Sends what is here, and has another task send the rest: the answer may begin before its end. */
static err_t
send_source(struct request *rq, struct invoke_call *call)
{
    struct invoke_upload *upload = ARENA_NEW(rq->arena, struct invoke_upload);
    *upload = (struct invoke_upload){ .call = call, .owner = rq->task };
    call->upload = upload;
    bool is_end = false;
    err_t err = OK;
    while (err == OK && !is_end && call->http.sent_bytes < UP_AT_ONCE_BYTES &&
           call->source.is_here != NULL && call->source.is_here(call->source.arg))
        err = pass_piece(rq->task, upload, &is_end);
    if (err != OK || is_end)
        return err;
    upload->task = task_spawn(task_worker(rq->task), "invoke body", upload_main, upload);
    return upload->task == NULL ? ERR_OVERLOADED : OK;
}

static err_t
send_body(struct request *rq, struct invoke_call *call)
{
    if (call->source.read != NULL)
        return send_source(rq, call);
    call->http.sent_bytes = call->body.len;
    err_t err = client_write(rq->task, &call->http.call, call->body); /* suspends */
    return err == OK ? client_end(rq->task, &call->http.call) : err;
}

/* The rest of the body is not wanted any more. */
static void
stop_upload(struct request *rq, struct invoke_upload *upload)
{
    if (upload == NULL || upload->task == NULL)
        return;
    struct wait wait;
    wait_init(&wait, rq->task, NULL);
    upload->wait = &wait;
    task_cancel(upload->task);
    task_shield_begin(rq->task); /* it uses this task's memory; what it waits for ends at once */
    uint64_t outer = task_deadline_ms(rq->task);
    task_deadline_pop(rq->task, UINT64_MAX);
    err_t err = TASK_WAIT(rq->task, &wait);
    task_deadline_pop(rq->task, outer);
    task_shield_end(rq->task);
    upload->wait = NULL;
    (void)err; /* nothing else ends it */
}

/* --- an application over HTTP ------------------------------------------------------------------*/

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

/* "Get", "Post", …: the verb as it stands in front of URLs in errors. */
static struct slice
operation_of(struct request *rq, struct slice verb)
{
    char *text = arena_str(rq->arena, verb);
    for (size_t i = 1; i < verb.len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    return slice_of(text, verb.len);
}

static err_t
failed(struct request *rq, const struct invoke_call *call, struct slice target, err_t err)
{
    struct slice words = task_diag(rq->task)->message;
    struct slice url = url_of(rq, app_settings(call->channel->app), target);
    if (call->upload != NULL && call->upload->err != OK)
        words = SLICE("the request body ended early");
    else if (err == ERR_CANCELLED)
        words = SLICE("context canceled");
    else if (err == ERR_DEADLINE)
        words = SLICE("context deadline exceeded");
    else if (err == ERR_OVERLOADED)
        words = SLICE("too many calls are waiting for the application");
    (void)fail(rq, ERR_DIRECT_INVOKE,
               "failed to invoke, id: " SLICE_FMT ", err: " SLICE_FMT " \"" SLICE_FMT
               "\": " SLICE_FMT,
               SLICE_ARG(call->app_id), SLICE_ARG(operation_of(rq, call->verb)), SLICE_ARG(url),
               SLICE_ARG(words));
    if (err == ERR_DEADLINE || err == ERR_CANCELLED)
        rq->error.grpc = err_info(err)->grpc;
    return ERR_DIRECT_INVOKE;
}

static err_t
make_target(struct request *rq, const struct invoke_call *call, struct slice path,
            struct slice *ret_target)
{
    struct slice encoded, bad, query = call->query;
    if (!invoke_encode_path(rq->arena, path, &encoded, &bad))
        return fail(rq, ERR_DIRECT_INVOKE,
                    "failed to invoke, id: " SLICE_FMT ", err: parse \"" SLICE_FMT
                    "\": invalid URL escape \"" SLICE_FMT "\"",
                    SLICE_ARG(call->app_id),
                    SLICE_ARG(url_of(rq, app_settings(call->channel->app), path)), SLICE_ARG(bad));
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

static bool
is_safe(struct slice verb)
{
    return slice_eq(verb, SLICE("GET")) || slice_eq(verb, SLICE("HEAD")) ||
           slice_eq(verb, SLICE("OPTIONS"));
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
    call->http.path = path;    /* as metrics show it */
    err = send_body(rq, call); /* suspends */
    if (err == OK || err == ERR_PEER_LOST)
        err = client_head(rq->task, &call->http.call); /* suspends */
    return err;
}

static err_t
invoke_http(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct slice target;
    err_t err = make_target(rq, call, path, &target);
    if (err != OK)
        return err;
    /* A client that has half-closed still gets the effect and the answer of what it has sent; one
     * that only wanted to read something has left. */
    call->is_begun = !is_safe(call->verb);
    if (call->is_begun)
        task_begun(rq->task);
    err = exchange(rq, call, path, target); /* suspends */
    if (err != OK)
        return failed(rq, call, target, err);
    const struct client_call *answer = &call->http.call;
    call->status = answer->status;
    call->answer_length = answer->content_length;
    take_answer_headers(rq, call, answer->headers, answer->header_count);
    return OK;
}

/* --- an application over gRPC ------------------------------------------------------------------*/

/* All of the body: a message has no pieces. */
static err_t
gather(struct request *rq, struct invoke_call *call)
{
    size_t most = rq->kernel->body_bytes_max;
    struct arena_bytes body = { 0 };
    struct slice piece;
    err_t err = OK;
    if (call->source.read == NULL)
        return OK;
    while ((err = call->source.read(call->source.arg, &piece)) == OK && piece.len > 0) {
        if (piece.len > most - body.len)
            return refuse(rq, call->app_id, "the request body is too large for a gRPC application");
        arena_append(rq->arena, &body, piece);
    }
    if (err != OK)
        return refuse(rq, call->app_id, "the request body ended early");
    call->body = arena_bytes_slice(&body);
    return OK;
}

static struct slice
header_of(const struct invoke_call *call, struct slice name)
{
    for (size_t i = 0; i < call->header_count; i++)
        if (slice_eq_nocase(call->headers[i].name, name))
            return call->headers[i].value;
    return SLICE_EMPTY;
}

/* A status as the reference shows it to HTTP clients. */
static struct slice
status_json(struct request *rq, const struct grpc_answer *answer)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    bool fits = buf_printf(&out, "{\"code\":%d", (int)answer->code) &&
                (answer->text.len == 0 || (buf_append(&out, SLICE(",\"message\":")) &&
                                           json_write_string(&out, answer->text, false))) &&
                buf_append(&out, SLICE("}"));
    struct slice text = fits ? arena_dup(rq->arena, buf_slice(&out)) : SLICE("{}");
    buf_fini(&out);
    return text;
}

static void
take_grpc_answer(struct request *rq, struct invoke_call *call, const struct app_invoked *invoked)
{
    bool is_ok = invoked->answer.code == GRPC_OK;
    struct slice type = is_ok && invoked->content_type.len > 0 ? invoked->content_type
                                                               : SLICE("application/json");
    call->status = is_ok ? 200 : grpc_code_to_http(invoked->answer.code);
    call->grpc_answer = is_ok ? invoked->data : status_json(rq, &invoked->answer);
    call->answer_length = (int64_t)call->grpc_answer.len;
    call->answer_headers = ARENA_ARRAY(rq->arena, struct http_header,
                                       invoked->answer.header_count + 1);
    call->answer_headers[call->answer_header_count++] = (struct http_header){ SLICE("Content-Type"),
                                                                              type };
    for (size_t i = 0; i < invoked->answer.header_count; i++)
        if (!grpc_is_reserved(invoked->answer.headers[i].name))
            call->answer_headers[call->answer_header_count++] = invoked->answer.headers[i];
}

static const struct http_header *
metadata_for(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    size_t passed, count = 0;
    struct http_header *metadata = passed_headers(rq, call, &passed);
    for (size_t i = 0; i < passed; i++)
        if (!grpc_is_reserved(metadata[i].name))
            metadata[count++] = metadata[i];
    count += app_grpc_metadata(app_settings(call->channel->app), rq->kernel->app_id,
                               metadata + count);
    *ret_count = count + trace_grpc_metadata(rq, metadata + count);
    return metadata;
}

static err_t
invoke_grpc(struct request *rq, struct invoke_call *call, struct slice path)
{
    err_t err = gather(rq, call); /* suspends */
    if (err != OK)
        return err;
    size_t count;
    const struct http_header *metadata = metadata_for(rq, call, &count);
    const struct app_invocation invocation = {
        .method = slice_from(path, 1),
        .verb = call->verb,
        .query = call->query,
        .content_type = header_of(call, SLICE("content-type")),
        .data = call->body,
        .metadata = metadata,
        .metadata_count = count,
    };
    struct app_invoked invoked = { 0 };
    err = app_enter(rq->task, call->channel); /* suspends */
    if (err == OK) {
        err = app_grpc_invoke(rq->task, call->channel, &invocation, &invoked); /* suspends */
        app_leave(call->channel);
    }
    if (err != OK && invoked.answer.code == GRPC_OK)
        return fail(rq, ERR_DIRECT_INVOKE, "failed to invoke, id: " SLICE_FMT ", err: " SLICE_FMT,
                    SLICE_ARG(call->app_id), SLICE_ARG(task_diag(rq->task)->message));
    take_grpc_answer(rq, call, &invoked);
    return OK;
}

/* --- entry -------------------------------------------------------------------------------------*/

err_t
invoke_start(struct request *rq, struct invoke_call *call)
{
    struct slice path;
    trace_invocation(rq, call->app_id, call->method);
    if (!invoke_is_self(rq, call->app_id))
        return invoke_no_such_app(rq, call->app_id);
    if (!invoke_clean_method(rq->arena, call->method, &path))
        return fail(rq, ERR_DIRECT_INVOKE,
                    "failed to invoke, id: " SLICE_FMT ", err: rpc error: code = InvalidArgument "
                    "desc = invalid method: method contains forbidden character: \"" SLICE_FMT "\"",
                    SLICE_ARG(call->app_id), SLICE_ARG(call->method));
    err_t err = invoke_check_app(rq, call->app_id);
    if (err != OK)
        return err;
    if (call->verb.len == 0 || slice_eq(call->verb, SLICE("CONNECT")))
        return refuse(rq, call->app_id,
                      "rpc error: code = InvalidArgument desc = invalid HTTP verb");
    call->channel = &kernel_worker_of(rq->task)->app;
    if (app_is_grpc(app_settings(call->channel->app)->protocol))
        return invoke_grpc(rq, call, path);
    return invoke_http(rq, call, path);
}

err_t
invoke_read(struct request *rq, struct invoke_call *call, struct slice *ret_chunk)
{
    if (call->http.channel == NULL) {
        *ret_chunk = call->grpc_answer;
        call->grpc_answer = SLICE_EMPTY;
        return OK;
    }
    err_t err = client_read(rq->task, &call->http.call, ret_chunk); /* suspends */
    if (err == OK)
        call->http.received_bytes += ret_chunk->len;
    return err;
}

void
invoke_finish(struct request *rq, struct invoke_call *call)
{
    stop_upload(rq, call->upload); /* suspends */
    app_http_finish(&call->http);
    if (call->is_begun)
        task_begun_end(rq->task);
    call->is_begun = false;
}
