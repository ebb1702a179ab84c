/* SPDX-License-Identifier: Apache-2.0 */
/* From a path to a row of methods.def. Rows are compared segment by segment on the raw path. */
#include "http/path.h"
#include "surface/api_list.h"
#include "surface/http_surface.h"

enum { SEGMENTS_MAX = 8 };

static const struct row {
    const char *rpc;
    unsigned verbs;
    const char *path;
    http_method_fn *handler;
} rows[] = {
#define HTTP_METHOD(rpc, verbs, path, handler) { #rpc, (verbs), (path), (handler) },
#include "api/methods.def"
};

static unsigned
verb_of(struct slice method)
{
    static const struct {
        const char *name;
        enum http_verb verb;
    } verbs[] = {
        { "GET", HTTP_GET }, { "POST", HTTP_POST }, { "PUT", HTTP_PUT }, { "DELETE", HTTP_DELETE }
    };
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (slice_eq(method, slice_str(verbs[i].name)))
            return verbs[i].verb;
    return HTTP_OTHER;
}

/* Whether the segments fit the pattern, "{*}" at whose end stands for any rest, also none;
 * parameters are collected raw. */
static bool
matches(const char *pattern, const struct slice *segments, size_t count,
        struct slice params[HTTP_PARAMS_MAX], size_t *ret_params)
{
    struct slice rest = slice_str(pattern), part;
    size_t at = 0, found = 0;
    while (slice_split(&rest, '/', &part)) {
        if (slice_eq(part, SLICE("{*}"))) {
            *ret_params = found;
            return true;
        }
        if (at == count)
            return false;
        if (part.data[0] == '{')
            params[found++] = segments[at];
        else if (!slice_eq(part, segments[at]))
            return false;
        at++;
    }
    *ret_params = found;
    return at == count;
}

/* A parameter's text. The reference decodes it as it decodes a query, where '+' is a blank. */
static bool
decode_param(struct arena *arena, struct slice raw, struct slice *ret_text)
{
    if (slice_find_byte(raw, '+') < 0)
        return path_decode(arena, raw, ret_text);
    char *blanks = arena_alloc(arena, raw.len);
    for (size_t i = 0; i < raw.len; i++)
        blanks[i] = raw.data[i] == '+' ? ' ' : raw.data[i];
    return path_decode(arena, slice_of(blanks, raw.len), ret_text);
}

http_method_fn *
http_route(struct http_call *call)
{
    struct slice segments[SEGMENTS_MAX], params[HTTP_PARAMS_MAX];
    struct slice rest = path_clean(call->rq.arena, call->x->path);
    unsigned verb = verb_of(call->x->method);
    size_t count = 0;
    while (count < SEGMENTS_MAX && path_next(&rest, &segments[count]))
        count++;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t param_count;
        if ((rows[i].verbs & verb) == 0 ||
            !matches(rows[i].path, segments, count, params, &param_count) ||
            !api_list_allows_path(&call->rq, rows[i].path))
            continue;
        for (size_t p = 0; p < param_count; p++)
            if (!decode_param(call->rq.arena, params[p], &call->params[p]))
                return NULL;
        call->param_count = param_count;
        call->rpc = rows[i].rpc;
        return rows[i].handler;
    }
    return NULL;
}
