/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands before every route: cross-origin rules, the API token, trace context and baggage.
 * Order and texts are the reference runtime's.
 */
#include "http/path.h"
#include "surface/http_surface.h"
#include "surface/token.h"
#include "surface/trace.h"

static void
add_common(struct http_call *call, const char *name, struct slice value)
{
    if (call->common_count < HTTP_COMMON_HEADERS_MAX)
        call->common[call->common_count++] = (struct http_header){ .name = slice_str(name),
                                                                   .value = value };
}

/* --- CORS --------------------------------------------------------------------------------------*/

static bool
is_wildcard(const struct kernel *kernel)
{
    return kernel->allowed_origin_count == 1 && slice_eq(kernel->allowed_origins[0], SLICE("*"));
}

/* What Access-Control-Allow-Origin says to this origin; empty: nothing. */
static struct slice
allowed_origin(const struct kernel *kernel, struct slice origin)
{
    if (origin.data == NULL)
        return SLICE_EMPTY;
    if (is_wildcard(kernel))
        return SLICE("*");
    for (size_t i = 0; i < kernel->allowed_origin_count; i++)
        if (slice_eq_nocase(kernel->allowed_origins[i], origin))
            return origin;
    return SLICE_EMPTY;
}

static bool
is_api_verb(struct slice method)
{
    static const char *const verbs[] = { "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD" };
    return slice_is_one_of_nocase(method, verbs, ARRAY_LEN(verbs));
}

/* "x-foo,content-type" → "Content-Type, X-Foo" is what the reference makes of it: canonical case,
 * in the order given. */
static struct slice
canonical_list(struct arena *arena, struct slice names)
{
    char *out = arena_alloc(arena, names.len * 2 + 1);
    size_t len = 0;
    struct slice rest = names, part;
    while (slice_split(&rest, ',', &part)) {
        part = slice_trim(part);
        if (part.len == 0)
            continue;
        if (len > 0) {
            out[len++] = ',';
            out[len++] = ' ';
        }
        bool upper = true;
        for (size_t i = 0; i < part.len; i++) {
            char c = part.data[i];
            if (upper && c >= 'a' && c <= 'z')
                c = (char)(c - 'a' + 'A');
            else if (!upper && c >= 'A' && c <= 'Z')
                c = (char)(c - 'A' + 'a');
            upper = c == '-';
            out[len++] = c;
        }
    }
    return slice_of(out, len);
}

/* A pre-flight request is answered here and nowhere else. */
static void
answer_preflight(struct http_call *call, struct slice origin, struct slice method)
{
    struct http_header headers[HTTP_OWN_HEADERS_MAX];
    size_t count = 0;
    struct slice wanted = http_header_get(call->x, SLICE("Access-Control-Request-Headers"));
    struct slice allowed = allowed_origin(call->rq.kernel, origin);
    if (allowed.len > 0 && is_api_verb(method)) {
        if (wanted.len > 0)
            headers[count++] = (struct http_header){ SLICE("Access-Control-Allow-Headers"),
                                                     canonical_list(call->rq.arena, wanted) };
        headers[count++] = (struct http_header){ SLICE("Access-Control-Allow-Methods"), method };
        headers[count++] = (struct http_header){ SLICE("Access-Control-Allow-Origin"), allowed };
    }
    headers[count++] = (struct http_header){ SLICE("Vary"),
                                             SLICE("Access-Control-Request-Method") };
    headers[count++] = (struct http_header){ SLICE("Vary"),
                                             SLICE("Access-Control-Request-Headers") };
    http_answer(call, 200, headers, count, SLICE_EMPTY);
}

/* False: it was a pre-flight request. */
static bool
apply_cors(struct http_call *call)
{
    if (call->rq.kernel->allowed_origin_count == 0)
        return true;
    struct slice origin = http_header_get(call->x, SLICE("Origin"));
    struct slice method = http_header_get(call->x, SLICE("Access-Control-Request-Method"));
    add_common(call, "Vary", SLICE("Origin"));
    if (slice_eq(call->x->method, SLICE("OPTIONS")) && method.len > 0) {
        answer_preflight(call, origin, method);
        return false;
    }
    struct slice allowed = allowed_origin(call->rq.kernel, origin);
    if (allowed.len > 0)
        add_common(call, "Access-Control-Allow-Origin", allowed);
    return true;
}

/* --- trace context and baggage -----------------------------------------------------------------*/

/* Every answer names the context; as for a call that is made, but for what was not understood. */
static void
read_trace(struct http_call *call)
{
    struct request *rq = &call->rq;
    trace_take(rq, call->x, SLICE_EMPTY, false); /* named at the end, if it is recorded at all */
    add_common(call, "Traceparent", rq->traceparent.len > 0 ? rq->traceparent : TRACEPARENT_NONE);
    if (rq->tracestate.len > 0)
        add_common(call, "Tracestate", rq->tracestate);
}

/* False: answered. */
static bool
read_baggage(struct http_call *call)
{
    struct slice words;
    if (!trace_take_baggage(&call->rq, call->x, &words)) {
        http_plain(call, 400, arena_printf(call->rq.arena, SLICE_FMT "\n", SLICE_ARG(words)));
        return false;
    }
    if (call->rq.baggage.len > 0)
        add_common(call, "Baggage", call->rq.baggage);
    return true;
}

/* --- the token ---------------------------------------------------------------------------------*/

/* The reference traces nothing whose decoded path holds "/healthz", be it a route or not. */
static bool
is_untraced(struct http_call *call)
{
    struct slice path;
    return path_decode(call->rq.arena, call->x->path, &path) &&
           slice_find(path, SLICE("/healthz")) >= 0;
}

static bool
is_health(struct http_call *call)
{
    struct slice path = path_clean(call->rq.arena, call->x->path);
    return slice_eq(path, SLICE("/v1.0/healthz")) ||
           slice_eq(path, SLICE("/v1.0/healthz/outbound"));
}

bool
http_guard(struct http_call *call, bool is_public)
{
    if (!is_untraced(call)) {
        if (!read_baggage(call))
            return false;
        read_trace(call);
    }
    if (!is_public && !apply_cors(call))
        return false;
    struct slice token = call->rq.kernel->api_token;
    if (token.len == 0 || is_public || is_health(call))
        return true;
    if (token_matches(token, http_header_get(call->x, SLICE("dapr-api-token"))))
        return true;
    http_plain(call, 401, SLICE("invalid api token\n"));
    return false;
}
