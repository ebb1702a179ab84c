/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route to what has no sidecar: an HTTPEndpoint by its name, or a server by its URL. The call
 * is made from here, redirections are followed, and what comes in the end is the answer. Bodies go
 * in pieces as they come, in both directions.
 */
#include "api/endpoint.h"
#include "api/invoke_route.h"
#include "api/redirect.h"
#include "api/trace.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/version.h"
#include "http/path.h"
#include "telemetry/http_client_metrics.h"

enum { OWN_HEADERS = 4 };

struct endpoint_call {
    struct client_call call;
    struct endpoint_opened *opened;
    struct task *task; /* of the request */
    struct slice path; /* the cleaned method */
    struct url first;  /* where the call began */

    /* The request under way: the first, or one that a redirection has led to. */
    struct url url;
    struct slice verb;
    struct slice referer; /* empty: none */
    bool has_body;
    bool is_confidential; /* it may hear what was meant for the first */
    unsigned number;

    uint64_t started_ns; /* 0: it is not counted */
    uint64_t sent_bytes, received_bytes;
};

static struct endpoint_call *
endpoint_of(const struct invoke_call *call)
{
    return call->state;
}

/* --- failures ----------------------------------------------------------------------------------*/

/* A URL that could not be taken apart may hold a password anywhere before the last @. */
static struct slice
conceal(struct slice text)
{
    ptrdiff_t at;
    while ((at = slice_find_byte(text, '@')) >= 0)
        text = slice_from(text, (size_t)at + 1);
    return text;
}

/* `Get "URL": words` */
static err_t
fail_at(struct request *rq, struct invoke_call *call, err_t err, struct slice url,
        struct slice words)
{
    return invoke_fail(rq, call, err, err_info(err)->grpc,
                       arena_printf(rq->arena, SLICE_FMT " \"" SLICE_FMT "\": " SLICE_FMT,
                                    SLICE_ARG(invoke_operation(rq, call->verb)), SLICE_ARG(url),
                                    SLICE_ARG(words)));
}

static err_t
fail_call(struct request *rq, struct invoke_call *call, err_t err)
{
    return fail_at(rq, call, err, url_show(rq->arena, &endpoint_of(call)->url),
                   invoke_failure_words(rq, call, err));
}

/* Where a call cannot even be made, or made any further. */
static err_t
refuse_at(struct request *rq, struct invoke_call *call, struct slice url, struct slice words)
{
    (void)fail_at(rq, call, ERR_DIRECT_INVOKE, conceal(url), words);
    return ERR_DIRECT_INVOKE;
}

/* --- where it goes -----------------------------------------------------------------------------*/

/* As Go's client sends it: bytes that have no place in a path are escaped. */
static bool
encode_path(struct request *rq, struct url *url, struct slice *ret_error)
{
    struct slice bad;
    if (invoke_encode_path(rq->arena, url->path, &url->path, &bad))
        return true;
    *ret_error = arena_printf(rq->arena, "invalid URL escape \"" SLICE_FMT "\"", SLICE_ARG(bad));
    return false;
}

/* Errors of parsing stand behind another word than those of calling. */
static bool
is_of_call(struct slice error)
{
    return slice_has_prefix(error, SLICE("unsupported protocol scheme")) ||
           slice_has_prefix(error, SLICE("http:"));
}

/* The base with the method behind it. */
static struct slice
join(struct request *rq, const struct invoke_call *call, struct slice base, struct slice path)
{
    struct arena_bytes text = { 0 };
    bool has_path = path.len > 1;
    while (has_path && base.len > 0 && base.data[base.len - 1] == '/' &&
           !slice_has_suffix(base, SLICE("//")))
        base.len--;
    arena_append(rq->arena, &text, base);
    if (has_path)
        arena_append(rq->arena, &text, path);
    if (call->query.len > 0)
        arena_append(rq->arena, &text, SLICE("?"));
    arena_append(rq->arena, &text, call->query);
    return arena_bytes_slice(&text);
}

static err_t
find_url(struct request *rq, struct invoke_call *call, const struct endpoint *endpoint)
{
    struct endpoint_call *ec = endpoint_of(call);
    struct slice base = endpoint == NULL ? call->app_id : endpoint_base_url(endpoint), error;
    struct slice text = join(rq, call, base, ec->path);
    if (url_parse(rq->arena, text, &ec->first, &error) && encode_path(rq, &ec->first, &error)) {
        if (ec->first.host.len > 0)
            return OK;
        error = SLICE("http: no Host in request URL");
    }
    if (is_of_call(error))
        return refuse_at(rq, call, text, error);
    return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INTERNAL,
                       arena_printf(rq->arena, "parse \"" SLICE_FMT "\": " SLICE_FMT,
                                    SLICE_ARG(conceal(text)), SLICE_ARG(error)));
}

static struct slice
target_of(struct request *rq, const struct url *url)
{
    struct arena_bytes target = { 0 };
    arena_append(rq->arena, &target, url->path.len == 0 ? SLICE("/") : url->path);
    if (url->query.len > 0)
        arena_append(rq->arena, &target, SLICE("?"));
    arena_append(rq->arena, &target, url->query);
    return arena_bytes_slice(&target);
}

/* --- headers -----------------------------------------------------------------------------------*/

static bool
has_header(const struct http_header *headers, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(headers[i].name, name))
            return true;
    return false;
}

/* After a redirection not everything goes on. */
static bool
goes_on(const struct endpoint_call *ec, struct slice name)
{
    return (ec->is_confidential || !redirect_drops(name)) &&
           (ec->has_body || ec->number == 1 || !redirect_describes_body(name));
}

/* The resource's own count more than the client's, and of equal ones the last. */
static size_t
put_fixed(const struct endpoint_call *ec, struct http_header *to)
{
    const struct endpoint_opened *opened = ec->opened;
    size_t count = 0;
    for (size_t i = 0; i < opened->header_count; i++) {
        const struct http_header *h = &opened->headers[i];
        bool is_last = !has_header(h + 1, opened->header_count - i - 1, h->name);
        if (is_last && (ec->is_confidential || !opened->is_secret[i]) && goes_on(ec, h->name))
            to[count++] = *h;
    }
    return count;
}

/* What stands before the host of a URL is meant as basic authentication. */
static struct slice
credentials_of(struct request *rq, struct slice userinfo)
{
    struct slice text = userinfo;
    if (!path_decode(rq->arena, userinfo, &text))
        text = userinfo;
    if (slice_find_byte(userinfo, ':') < 0)
        text = arena_printf(rq->arena, SLICE_FMT ":", SLICE_ARG(text));
    struct arena_bytes value = { 0 };
    char *encoded = arena_alloc(rq->arena, base64_encoded_len(text.len));
    base64_encode(text, encoded);
    arena_append(rq->arena, &value, SLICE("Basic "));
    arena_append(rq->arena, &value, slice_of(encoded, base64_encoded_len(text.len)));
    return arena_bytes_slice(&value);
}

/* What is only said where nobody else has said it. */
static size_t
put_missing(struct request *rq, const struct invoke_call *call, const struct http_header *headers,
            size_t count, struct http_header *to)
{
    const struct endpoint_call *ec = endpoint_of(call);
    size_t more = 0;
    if (call->is_message && call->content_type.len > 0 && goes_on(ec, SLICE("Content-Type")) &&
        !has_header(headers, count, SLICE("Content-Type")))
        to[more++] = (struct http_header){ SLICE("Content-Type"), call->content_type };
    if (ec->referer.len > 0 && !has_header(headers, count, SLICE("Referer")))
        to[more++] = (struct http_header){ SLICE("Referer"), ec->referer };
    if (!has_header(headers, count, SLICE("User-Agent")))
        to[more++] = (struct http_header){ SLICE("User-Agent"), SLICE("remora/" REMORA_VERSION) };
    if (ec->url.has_userinfo && !has_header(headers, count, SLICE("Authorization")))
        to[more++] = (struct http_header){ SLICE("Authorization"),
                                           credentials_of(rq, ec->url.userinfo) };
    return more;
}

static const struct http_header *
headers_for(struct request *rq, const struct invoke_call *call, size_t *ret_count)
{
    const struct endpoint_call *ec = endpoint_of(call);
    const struct endpoint_opened *opened = ec->opened;
    size_t passed, count = 0;
    const struct http_header *theirs = invoke_passed_headers(rq, call, &passed);
    struct http_header *headers = ARENA_ARRAY(rq->arena, struct http_header,
                                              passed + opened->header_count + OWN_HEADERS +
                                                  TRACE_HEADERS_MAX);
    for (size_t i = 0; i < passed; i++)
        if (!has_header(opened->headers, opened->header_count, theirs[i].name) &&
            goes_on(ec, theirs[i].name))
            headers[count++] = theirs[i];
    count += put_fixed(ec, headers + count);
    count += put_missing(rq, call, headers, count, headers + count);
    *ret_count = count + trace_http_headers(rq, headers + count);
    return headers;
}

/* --- one request -------------------------------------------------------------------------------*/

static err_t
write(struct task *t, struct invoke_call *call, struct slice piece)
{
    endpoint_of(call)->sent_bytes += piece.len;
    return client_write(t, &endpoint_of(call)->call, piece); /* suspends */
}

static err_t
end(struct task *t, struct invoke_call *call)
{
    return client_end(t, &endpoint_of(call)->call);
}

static struct slice
authority_of(const struct url *url)
{
    bool has_empty_port = slice_has_suffix(url->authority, SLICE(":"));
    return slice_first(url->authority, url->authority.len - has_empty_port);
}

static err_t
ask(struct request *rq, struct invoke_call *call)
{
    struct endpoint_call *ec = endpoint_of(call);
    struct client_head head = {
        .method = ec->verb,
        .target = target_of(rq, &ec->url),
        .authority = authority_of(&ec->url),
        .body_length = ec->has_body ? call->body_length : 0,
        .turn = rq->turn,
    };
    head.headers = headers_for(rq, call, &head.header_count);
    struct client *client = endpoint_client(rq, ec->opened, &ec->url);
    err_t err = client_start(rq->task, client, &head, &ec->call); /* suspends */
    if (err == OK)
        err = ec->has_body ? invoke_send_body(rq, call) : end(rq->task, call); /* suspends */
    if (err == OK || (err == ERR_PEER_LOST && ec->call.transport != NULL))
        err = client_head(rq->task, &ec->call); /* suspends */
    return err;
}

/* The connection can be used again if little of the answer is left on it. */
static void
leave(struct request *rq, struct invoke_call *call)
{
    struct endpoint_call *ec = endpoint_of(call);
    struct slice chunk;
    invoke_stop_body(rq, call); /* suspends */
    bool is_short = ec->call.transport != NULL && ec->call.status != 0 &&
                    ec->call.content_length >= 0 &&
                    ec->call.content_length <= LIMIT_endpoint_slurp_bytes;
    uint64_t outer = task_deadline_push(rq->task, LIMIT_endpoint_slurp_ms);
    while (is_short && client_read(rq->task, &ec->call, &chunk) == OK && chunk.len > 0)
        continue;
    task_deadline_pop(rq->task, outer);
    client_finish(&ec->call);
}

/* --- redirections ------------------------------------------------------------------------------*/

/* Sets up the request that the answer asks for; *ret_is_over: it asks for none. */
static err_t
follow(struct request *rq, struct invoke_call *call, bool *ret_is_over)
{
    struct endpoint_call *ec = endpoint_of(call);
    struct slice location = arena_dup(rq->arena, client_header_get(&ec->call, SLICE("Location")));
    struct slice method, error;
    struct url next;
    bool keeps_body;
    bool can_repeat = !ec->has_body || call->body_length == 0 || invoke_can_repeat(call);
    *ret_is_over = location.len == 0 || !redirect_is_followed(ec->call.status, ec->verb, can_repeat,
                                                              &method, &keeps_body);
    if (*ret_is_over)
        return OK;
    if (!url_resolve(rq->arena, &ec->url, location, &next, &error) ||
        !encode_path(rq, &next, &error))
        return refuse_at(rq, call, location, error);
    if (next.host.len == 0)
        return refuse_at(rq, call, location, SLICE("http: no Host in request URL"));
    if (ec->number >= REDIRECT_HOPS_MAX)
        return refuse_at(rq, call, location, SLICE("stopped after 10 redirects"));
    leave(rq, call); /* suspends */
    ec->referer = redirect_referer(rq->arena, &ec->url, &next);
    ec->is_confidential = ec->is_confidential && redirect_is_confidential(&ec->first, &next);
    ec->has_body = ec->has_body && keeps_body;
    ec->verb = method;
    ec->url = next;
    ec->number++;
    return OK;
}

/* --- the route ---------------------------------------------------------------------------------*/

/* From the first request to the answer that stays. */
static err_t
exchange(struct request *rq, struct invoke_call *call)
{
    struct endpoint_call *ec = endpoint_of(call);
    bool is_over = false;
    bool is_short = call->body_length >= 0 && call->body_length <= LIMIT_endpoint_keep_bytes;
    if (is_short && call->keep_bytes_max < LIMIT_endpoint_keep_bytes)
        call->keep_bytes_max = LIMIT_endpoint_keep_bytes;
    ec->url = ec->first;
    ec->verb = call->verb;
    ec->has_body = ec->is_confidential = true;
    ec->number = 1;
    while (!is_over) {
        err_t err = ask(rq, call); /* suspends */
        if (err != OK)
            return fail_call(rq, call, err);
        err = follow(rq, call, &is_over); /* suspends */
        if (err != OK)
            return err;
    }
    return OK;
}

static err_t
start(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct endpoint_call *ec = ARENA_NEW(rq->arena, struct endpoint_call);
    struct endpoint *endpoint = NULL;
    struct slice error;
    *ec = (struct endpoint_call){ .task = rq->task, .path = path };
    call->state = ec;
    if (call->verb.len == 0 || slice_eq(call->verb, SLICE("CONNECT")))
        return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INVALID_ARGUMENT,
                           SLICE("rpc error: code = InvalidArgument desc = invalid HTTP verb"));
    if (!endpoint_find(rq, call->app_id, &endpoint)) /* it was found once */
        return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INTERNAL,
                           SLICE("the HTTPEndpoint is no more"));
    err_t err = find_url(rq, call, endpoint);
    if (err == OK && endpoint_open(rq, endpoint, &ec->opened, &error) != OK) /* suspends */
        err = invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INTERNAL, error);
    if (err != OK)
        return err;
    ec->started_ns = metrics_is_on() ? clock_now_ns() : 0;
    err = exchange(rq, call); /* suspends */
    if (err != OK)
        return err;
    call->status = ec->call.status;
    call->answer_length = ec->call.content_length;
    invoke_take_headers(rq, call, ec->call.headers, ec->call.header_count);
    return OK;
}

static err_t
read_answer(struct request *rq, struct invoke_call *call, struct slice *ret_chunk)
{
    struct endpoint_call *ec = endpoint_of(call);
    err_t err = client_read(rq->task, &ec->call, ret_chunk); /* suspends */
    if (err == OK)
        ec->received_bytes += ret_chunk->len;
    return err;
}

static void
count(const struct invoke_call *call)
{
    const struct endpoint_call *ec = endpoint_of(call);
    const struct http_client_sample sample = {
        .method = call->verb,
        .path = ec->path,
        .status = ec->call.status,
        .took_ns = clock_now_ns() - ec->started_ns,
        .sent_bytes = ec->sent_bytes,
        .received_bytes = ec->received_bytes,
    };
    http_client_count(&settings_of(ec->task)->path_rules, task_arena(ec->task), &sample);
}

static void
finish(struct invoke_call *call)
{
    struct endpoint_call *ec = endpoint_of(call);
    if (ec == NULL)
        return;
    if (ec->started_ns != 0)
        count(call);
    ec->started_ns = 0;
    client_finish(&ec->call);
    endpoint_close(TAKE(ec->opened));
}

const struct invoke_route invoke_endpoint_route = {
    .start = start, .read = read_answer, .finish = finish, .write = write, .end = end
};
