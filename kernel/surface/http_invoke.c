/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service invocation over HTTP, in its three forms: the URL /v1.0/invoke/ID/method/PATH, and any
 * other path with the header dapr-app-id or with basic authentication of the user dapr-app-id. What
 * the application answers goes back as it comes: status, headers, body, piece by piece.
 */
#include "api/invoke.h"
#include "base/base64.h"
#include "http/path.h"
#include "surface/http_surface.h"

enum { CREDENTIALS_BYTES_MAX = 1024 };

/* --- who is meant ------------------------------------------------------------------------------*/

/* The password of the user dapr-app-id; empty if there is none. */
static struct slice
app_id_of_credentials(struct http_call *call)
{
    const struct slice user = SLICE("dapr-app-id:");
    struct slice value = http_header_get(call->x, SLICE("Authorization"));
    if (value.data == NULL || !slice_has_prefix_nocase(value, SLICE("Basic ")) ||
        value.len > CREDENTIALS_BYTES_MAX)
        return SLICE_EMPTY;
    struct slice encoded = slice_trim(slice_from(value, sizeof "Basic " - 1));
    char *text = arena_alloc(call->rq.arena, base64_decoded_max(encoded.len));
    size_t len;
    if (!base64_decode(encoded, text, &len) || !slice_has_prefix_nocase(slice_of(text, len), user))
        return SLICE_EMPTY;
    struct slice password = slice_from(slice_of(text, len), user.len);
    return slice_find_byte(password, ':') < 0 ? password : SLICE_EMPTY;
}

static struct slice
without_slashes(struct slice s)
{
    while (s.len > 0 && s.data[0] == '/')
        s = slice_from(s, 1);
    return s;
}

/* Takes one segment that must be this one, and the slashes around it. */
static bool
take_segment(struct slice *rest, struct slice segment)
{
    struct slice s = without_slashes(*rest);
    if (!slice_has_prefix(s, segment) || s.len == segment.len || s.data[segment.len] != '/')
        return false;
    *rest = without_slashes(slice_from(s, segment.len));
    return true;
}

/* An app id as it stands in a URL, which has been decoded once with the whole path. */
static struct slice
decode_id(struct arena *arena, struct slice id)
{
    struct slice text;
    bool is_url = slice_has_prefix(id, SLICE("http:")) || slice_has_prefix(id, SLICE("https:"));
    while (!is_url && id.len > 0 && id.data[id.len - 1] == '/')
        id.len--;
    if (!path_escapes_are_valid(id) || !path_decode(arena, id, &text))
        return id;
    return text;
}

/* "/v1.0/invoke/ID/method/PATH", decoded. False: it is no such path. */
static bool
split_url(struct arena *arena, struct slice path, struct slice *ret_id, struct slice *ret_method)
{
    struct slice rest = path;
    if (!take_segment(&rest, SLICE("v1.0")) || !take_segment(&rest, SLICE("invoke")))
        return false;
    ptrdiff_t at = slice_find(rest, SLICE("/method/"));
    if (at <= 0)
        return false;
    *ret_id = decode_id(arena, slice_first(rest, (size_t)at));
    *ret_method = slice_from(rest, (size_t)at + sizeof "/method/" - 1);
    return ret_id->len > 0;
}

/* False: nothing names an application. */
static bool
find_target(struct http_call *call, struct slice *ret_id, struct slice *ret_method)
{
    struct slice path;
    if (!path_decode(call->rq.arena, call->x->path, &path))
        return false; /* cannot be: h1_head.c has refused it */
    *ret_method = path;
    *ret_id = http_header_get(call->x, SLICE("dapr-app-id"));
    if (ret_id->len == 0)
        *ret_id = app_id_of_credentials(call);
    return ret_id->len > 0 || split_url(call->rq.arena, path, ret_id, ret_method);
}

bool
http_is_invocation(const struct http_exchange *x)
{
    struct slice rest = x->path;
    return take_segment(&rest, SLICE("v1.0")) && take_segment(&rest, SLICE("invoke"));
}

/* --- the call ----------------------------------------------------------------------------------*/

static err_t
read_body(void *arg, struct slice *ret_chunk)
{
    return http_body_read(arg, ret_chunk);
}

static bool
body_is_here(void *arg)
{
    return http_body_is_here(arg);
}

/* The answer's head with what every answer of the API carries. */
static err_t
start_answer(struct http_call *call, const struct invoke_call *invocation)
{
    size_t most = invocation->answer_header_count + call->common_count, count = 0;
    struct http_header *all = ARENA_ARRAY(call->rq.arena, struct http_header, most);
    for (size_t i = 0; i < invocation->answer_header_count; i++)
        all[count++] = invocation->answer_headers[i];
    for (size_t i = 0; i < call->common_count; i++)
        all[count++] = call->common[i];
    return http_reply_start(call->x, invocation->status, all, count, invocation->answer_length);
}

/* An answer that was cut is not ended, so that the client sees it as cut. */
static void
pass_answer(struct http_call *call, struct invoke_call *invocation)
{
    struct slice chunk;
    err_t err = start_answer(call, invocation);
    while (err == OK && (err = invoke_read(&call->rq, invocation, &chunk)) == OK && chunk.len > 0)
        err = http_reply_write(call->x, chunk); /* suspends while the client does not keep up */
    if (err == OK)
        (void)http_reply_end(call->x); /* nothing follows that it could spoil */
}

void
http_no_target(struct http_call *call)
{
    (void)fail(&call->rq, ERR_DIRECT_INVOKE_NO_TARGET,
               "failed getting app id either from the URL path or the header dapr-app-id");
    http_fail(call);
}

void
http_invoke(struct http_call *call)
{
    struct http_exchange *x = call->x;
    struct invoke_call invocation = {
        .verb = x->method,
        .query = x->query,
        .headers = x->headers,
        .header_count = x->header_count,
        .body_length = x->content_length,
        .source = { .read = read_body, .is_here = body_is_here, .arg = x },
    };
    if (!find_target(call, &invocation.app_id, &invocation.method)) {
        http_no_target(call);
        return;
    }
    call->rpc = "InvokeService";
    call->target = invocation.app_id;
    x->body_may_pause = true;
    if (invoke_start(&call->rq, &invocation) == OK) /* suspends */
        pass_answer(call, &invocation);
    else
        http_fail(call);
    invoke_finish(&call->rq, &invocation);
}
