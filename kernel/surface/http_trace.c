/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a span says of an HTTP request: names and attributes are the reference runtime's, which
 * follow OpenTelemetry's. Only called for requests that are sampled.
 */
#include "http/path.h"
#include "surface/http_surface.h"
#include "surface/observe.h"
#include "surface/trace.h"

/* A path of the API by its parts: "/v1.0/state/mem/k" is "state", "mem" and "k". */
struct api_path {
    struct slice whole; /* decoded */
    struct slice block;
    struct slice name;
    struct slice rest;
};

static bool
is_version(struct slice segment)
{
    return segment.len > 1 && segment.data[0] == 'v' && segment.data[1] >= '1' &&
           segment.data[1] <= '9';
}

/* Up to the next slash; `rest` is what is behind it. */
static struct slice
take_segment(struct slice *rest)
{
    struct slice part = SLICE_EMPTY;
    if (!slice_split(rest, '/', &part))
        *rest = SLICE_EMPTY;
    return part;
}

static struct api_path
take_apart(struct http_call *call)
{
    struct api_path path = { .block = SLICE_EMPTY, .name = SLICE_EMPTY, .rest = SLICE_EMPTY };
    struct slice clean = path_clean(call->rq.arena, call->x->path);
    if (!path_decode(call->rq.arena, clean, &path.whole))
        path.whole = clean;
    struct slice rest = slice_from(path.whole, 1);
    if (!is_version(take_segment(&rest)))
        return path;
    path.block = take_segment(&rest);
    path.name = take_segment(&rest);
    path.rest = rest.data == NULL ? SLICE_EMPTY : rest;
    return path;
}

/* A store behind a name, told as databases are. */
static void
set_database(struct span *span, const char *type, struct slice name, struct slice statement)
{
    span_set(span, SLICE("db.system"), slice_str(type));
    span_set(span, SLICE("db.name"), name);
    span_set(span, SLICE("db.statement"), statement);
    span_set(span, SLICE("db.connection_string"), slice_str(type));
}

static void
set_block(struct http_call *call, const struct api_path *path, struct slice statement)
{
    static const char *const databases[] = { "state", "secrets", "bindings" };
    const struct slice method = SLICE("method/");
    struct span *span = call->rq.span;
    for (size_t i = 0; i < ARRAY_LEN(databases); i++)
        if (slice_eq(path->block, slice_str(databases[i])))
            set_database(span, databases[i], path->name, statement);
    if (slice_eq(path->block, SLICE("publish")))
        span_set(span, SLICE("messaging.system"), SLICE("pubsub"));
    if (slice_eq(path->block, SLICE("invoke")) && slice_has_prefix(path->rest, method))
        trace_invocation(&call->rq, path->name, slice_from(path->rest, method.len));
}

/* The host that was asked, which is us. */
static void
set_server(struct span *span, struct slice authority)
{
    ptrdiff_t colon = -1;
    for (size_t i = 0; i < authority.len; i++)
        if (authority.data[i] == ':')
            colon = (ptrdiff_t)i;
    if (authority.len > 0 && authority.data[authority.len - 1] == ']')
        colon = -1; /* an IPv6 address without a port */
    span_set(span, SLICE("server.address"),
             colon < 0 ? authority : slice_first(authority, (size_t)colon));
    if (colon >= 0)
        span_set(span, SLICE("server.port"), slice_from(authority, (size_t)colon + 1));
}

void
http_trace(struct http_call *call, int status, uint64_t took_ns)
{
    const struct http_exchange *x = call->x;
    struct arena *arena = call->rq.arena;
    struct span *span = call->rq.span;
    struct api_path path = take_apart(call);
    struct slice target = x->target;
    char digits[OBSERVE_NUMBER_BYTES];
    if (slice_eq(path.block, SLICE("actors"))) /* ids and names of actors are nobody's business */
        target = path.whole = arena_printf(arena, "/v1.0/actors/" SLICE_FMT, SLICE_ARG(path.name));
    struct slice statement = arena_printf(arena, SLICE_FMT " " SLICE_FMT, SLICE_ARG(x->method),
                                          SLICE_ARG(path.whole));
    if (span->name.len == 0)
        span->name = path.whole;
    trace_take_attributes(&call->rq, x);
    set_block(call, &path, statement);
    span_set(span, SLICE("dapr.protocol"), SLICE("http"));
    span_set(span, SLICE("dapr.api"), statement);
    span_set(span, SLICE("dapr.status_code"), observe_number(digits, (uint64_t)status));
    span_set(span, SLICE("http.request.method"), x->method);
    span_set(span, SLICE("url.full"), target);
    set_server(span, x->authority);
    if (status >= 400) {
        span->has_failed = true;
        span->failure = arena_printf(arena, "Code(%d): %s", status, http_status_text(status));
    }
    trace_end(&call->rq, took_ns);
}
