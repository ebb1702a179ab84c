/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of an invocation, in both directions; see invoke_route.h. */
#include "api/invoke_route.h"

#include "api/trace.h"
#include "base/json.h"

enum { STATUS_TEXT_BYTES_MAX = 64 * 1024 };

/* What concerns one connection and is never passed on, in either direction. */
static bool
is_hop_by_hop(struct slice name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "proxy-connection", "transfer-encoding",   "upgrade",
        "te",         "trailer",    "http2-settings",   "proxy-authorization", "proxy-authenticate",
    };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names));
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
                                         "dapr-callee-app-id",
                                         "destination-app-id" };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names)) || trace_is_header(name);
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

struct http_header *
invoke_passed_headers(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    size_t most = call->header_count + INVOKE_OWN_HEADERS_MAX, count = 0;
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

size_t
invoke_put_identity(const struct request *rq, const struct invoke_call *call,
                    struct slice callee_id, struct http_header ret_headers[3])
{
    const struct kernel *kernel = rq->kernel;
    const struct invoke_caller own = { kernel->app_id, invoke_own_namespace(kernel) };
    const struct invoke_caller *caller = call->caller == NULL ? &own : call->caller;
    ret_headers[0] = (struct http_header){ SLICE("Dapr-Caller-App-Id"), caller->app_id };
    ret_headers[1] = (struct http_header){ SLICE("Dapr-Caller-Namespace"), caller->namespace_ };
    ret_headers[2] = (struct http_header){ SLICE("Dapr-Callee-App-Id"), callee_id };
    return 3;
}

void
invoke_take_headers(struct request *rq, struct invoke_call *call, const struct http_header *headers,
                    size_t count)
{
    call->answer_headers = ARENA_ARRAY(rq->arena, struct http_header, count);
    for (size_t i = 0; i < count; i++)
        if (is_passed(headers, count, headers[i].name) &&
            !slice_eq_nocase(headers[i].name, SLICE("content-length")))
            call->answer_headers[call->answer_header_count++] = headers[i];
}

struct slice
invoke_header_of(const struct invoke_call *call, struct slice name)
{
    for (size_t i = 0; i < call->header_count; i++)
        if (slice_eq_nocase(call->headers[i].name, name))
            return call->headers[i].value;
    return SLICE_EMPTY;
}

/* --- a gRPC application's answer ---------------------------------------------------------------*/

/* A status as the reference shows it to HTTP clients. */
static struct slice
status_json(struct request *rq, const struct grpc_answer *answer)
{
    struct buf out;
    buf_init(&out, STATUS_TEXT_BYTES_MAX);
    bool fits = buf_printf(&out, "{\"code\":%d", (int)answer->code) &&
                (answer->text.len == 0 || (buf_append(&out, SLICE(",\"message\":")) &&
                                           json_write_string(&out, answer->text, false))) &&
                buf_append(&out, SLICE("}"));
    struct slice text = fits ? arena_dup(rq->arena, buf_slice(&out)) : SLICE("{}");
    buf_fini(&out);
    return text;
}

void
invoke_take_invoked(struct request *rq, struct invoke_call *call, const struct app_invoked *invoked)
{
    if (call->is_message) {
        call->invoked = invoked;
        return;
    }
    bool is_ok = invoked->answer.code == GRPC_OK;
    struct slice type = is_ok && invoked->content_type.len > 0 ? invoked->content_type
                                                               : SLICE("application/json");
    call->status = is_ok ? 200 : grpc_code_to_http(invoked->answer.code);
    call->held_answer = is_ok ? invoked->data : status_json(rq, &invoked->answer);
    call->answer_length = (int64_t)call->held_answer.len;
    call->answer_headers = ARENA_ARRAY(rq->arena, struct http_header,
                                       invoked->answer.header_count + 1);
    call->answer_headers[call->answer_header_count++] = (struct http_header){ SLICE("Content-Type"),
                                                                              type };
    for (size_t i = 0; i < invoked->answer.header_count; i++)
        if (!grpc_is_reserved(invoked->answer.headers[i].name))
            call->answer_headers[call->answer_header_count++] = invoked->answer.headers[i];
}
