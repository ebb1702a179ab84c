/* SPDX-License-Identifier: Apache-2.0 */
/* URLs taken apart and put together; see url.h. */
#include "base/url.h"

#include <string.h>

#include "base/macros.h"

static bool
refuse(struct slice *ret_error, struct slice words)
{
    *ret_error = words;
    return false;
}

/* --- the authority -----------------------------------------------------------------------------*/

static bool
is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A name or IPv4 address, or (brackets removed) an IPv6 address with a zone perhaps. Names of other
 * alphabets go to the resolver as they are. */
static bool
check_host(struct arena *arena, struct slice host, bool is_literal, struct slice *ret_error)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool is_fine = is_alnum(c) || c == '.' || c == '-' || c == '_' ||
                       (is_literal ? c == ':' || c == '%' : (unsigned char)c >= 0x80);
        if (!is_fine)
            return refuse(ret_error,
                          arena_printf(arena, "invalid character \"%c\" in host name", c));
    }
    return true;
}

static bool
take_port(struct arena *arena, struct slice text, struct url *url, struct slice *ret_error)
{
    uint64_t port;
    url->port = url->is_https ? 443 : 80;
    if (text.len == 0 || (text.len == 1 && text.data[0] == ':'))
        return true;
    if (text.data[0] != ':' || !slice_to_u64(slice_from(text, 1), &port) || port > UINT16_MAX)
        return refuse(ret_error, arena_printf(arena, "invalid port \"" SLICE_FMT "\" after host",
                                              SLICE_ARG(text)));
    url->port = (uint16_t)port;
    return true;
}

static bool
take_authority(struct arena *arena, struct slice text, struct url *url, struct slice *ret_error)
{
    size_t at = text.len;
    while (at > 0 && text.data[at - 1] != '@')
        at--;
    url->has_userinfo = at > 0;
    url->userinfo = at > 0 ? slice_first(text, at - 1) : SLICE_EMPTY;
    url->authority = text = slice_from(text, at);
    bool is_literal = slice_has_prefix(text, SLICE("["));
    ptrdiff_t end = slice_find_byte(text, is_literal ? ']' : ':');
    if (is_literal && end < 0)
        return refuse(ret_error, SLICE("missing ']' in host"));
    struct slice host = end < 0 ? text : slice_first(text, (size_t)end);
    struct slice port = slice_from(text, host.len + (is_literal ? 1 : 0));
    url->host = is_literal ? slice_from(host, 1) : host;
    if (is_literal && url->host.len == 0)
        return refuse(ret_error, SLICE("invalid host \"[]\""));
    return check_host(arena, url->host, is_literal, ret_error) &&
           take_port(arena, port, url, ret_error);
}

/* --- parsing -----------------------------------------------------------------------------------*/

/* Bytes that would end a line, or a header, of the request. */
static bool
has_controls(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    return false;
}

/* Length of "scheme:" at the front; 0 if there is none. */
static size_t
scheme_len(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == ':')
            return i == 0 ? 0 : i + 1;
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && (i == 0 || !(is_alnum(c) || c == '+' || c == '-' || c == '.')))
            return 0;
    }
    return 0;
}

static bool
take_scheme(struct arena *arena, struct slice *text, struct url *url, struct slice *ret_error)
{
    size_t len = scheme_len(*text);
    struct slice scheme = slice_first(*text, len == 0 ? 0 : len - 1);
    url->is_https = slice_eq_nocase(scheme, SLICE("https"));
    if (!url->is_https && !slice_eq_nocase(scheme, SLICE("http")))
        return refuse(ret_error,
                      arena_printf(arena, "unsupported protocol scheme \"" SLICE_FMT "\"",
                                   SLICE_ARG(scheme)));
    *text = slice_from(*text, len);
    return true;
}

/* Up to the first of these bytes, which is left. */
static struct slice
take_until(struct slice *text, const char *stops)
{
    size_t len = 0;
    while (len < text->len && (text->data[len] == '\0' || strchr(stops, text->data[len]) == NULL))
        len++;
    struct slice taken = slice_first(*text, len);
    *text = slice_from(*text, len);
    return taken;
}

/* What stands behind the authority. */
static void
take_path_and_query(struct slice text, struct url *url)
{
    url->path = take_until(&text, "?#");
    url->query = SLICE_EMPTY;
    if (text.len > 0 && text.data[0] == '?') {
        text = slice_from(text, 1);
        url->query = take_until(&text, "#");
    }
}

bool
url_parse(struct arena *arena, struct slice text, struct url *ret_url, struct slice *ret_error)
{
    struct url url = { 0 };
    if (has_controls(text))
        return refuse(ret_error, SLICE("net/url: invalid control character in URL"));
    if (!take_scheme(arena, &text, &url, ret_error))
        return false;
    if (!slice_has_prefix(text, SLICE("//")))
        return refuse(ret_error, SLICE("http: no Host in request URL"));
    text = slice_from(text, 2);
    if (!take_authority(arena, take_until(&text, "/?#"), &url, ret_error))
        return false;
    take_path_and_query(text, &url);
    *ret_url = url;
    return true;
}

/* --- references --------------------------------------------------------------------------------*/

/* RFC 3986 section 5.2.4; the path begins with a slash, and so does the result. */
static struct slice
remove_dots(struct arena *arena, struct slice path)
{
    char *out = arena_alloc(arena, path.len + 1);
    size_t len = 0;
    struct slice rest = slice_from(path, 1);
    bool is_last = false;
    while (!is_last) {
        ptrdiff_t slash = slice_find_byte(rest, '/');
        is_last = slash < 0;
        struct slice segment = is_last ? rest : slice_first(rest, (size_t)slash);
        rest = slice_from(rest, segment.len + 1);
        bool is_up = slice_eq(segment, SLICE(".."));
        while (is_up && len > 0 && out[--len] != '/')
            continue;
        if (!is_up && !slice_eq(segment, SLICE("."))) {
            out[len++] = '/';
            memcpy(out + len, segment.data, segment.len);
            len += segment.len;
        } else if (is_last) {
            out[len++] = '/';
        }
    }
    return slice_of(out, len);
}

static struct slice
join(struct arena *arena, const struct slice *parts, size_t count)
{
    struct arena_bytes text = { 0 };
    for (size_t i = 0; i < count; i++)
        arena_append(arena, &text, parts[i]);
    return arena_bytes_slice(&text);
}

/* A relative path takes the place of what stands behind the last slash. */
static struct slice
merge(struct arena *arena, struct slice base, struct slice path)
{
    size_t keep = base.len;
    while (keep > 0 && base.data[keep - 1] != '/')
        keep--;
    const struct slice parts[] = { keep == 0 ? SLICE("/") : slice_first(base, keep), path };
    return join(arena, parts, ARRAY_LEN(parts));
}

bool
url_resolve(struct arena *arena, const struct url *base, struct slice reference,
            struct url *ret_url, struct slice *ret_error)
{
    struct url url = *base;
    if (reference.len == 0)
        reference = SLICE_EMPTY; /* not NULL */
    if (has_controls(reference))
        return refuse(ret_error, SLICE("net/url: invalid control character in URL"));
    if (scheme_len(reference) > 0)
        return url_parse(arena, reference, ret_url, ret_error);
    if (slice_has_prefix(reference, SLICE("//"))) {
        reference = slice_from(reference, 2);
        if (!take_authority(arena, take_until(&reference, "/?#"), &url, ret_error))
            return false;
        take_path_and_query(reference, &url);
        *ret_url = url;
        return true;
    }
    struct url given = { 0 };
    struct slice rest = reference, before_fragment = take_until(&rest, "#");
    bool has_query = slice_find_byte(before_fragment, '?') >= 0;
    take_path_and_query(reference, &given);
    if (given.path.len > 0) {
        bool is_absolute = given.path.data[0] == '/';
        url.path = remove_dots(arena,
                               is_absolute ? given.path : merge(arena, base->path, given.path));
    }
    if (given.path.len > 0 || has_query)
        url.query = given.query;
    *ret_url = url;
    return true;
}

/* --- showing -----------------------------------------------------------------------------------*/

static struct slice
show(struct arena *arena, const struct url *url, struct slice user, const char *behind)
{
    const struct slice parts[] = { url->is_https ? SLICE("https://") : SLICE("http://"),
                                   user,
                                   slice_str(behind),
                                   url->authority,
                                   url->path,
                                   url->query.len > 0 ? SLICE("?") : SLICE_EMPTY,
                                   url->query };
    return join(arena, parts, ARRAY_LEN(parts));
}

struct slice
url_show(struct arena *arena, const struct url *url)
{
    ptrdiff_t colon = slice_find_byte(url->userinfo, ':');
    struct slice user = colon < 0 ? url->userinfo : slice_first(url->userinfo, (size_t)colon);
    return show(arena, url, user, !url->has_userinfo ? "" : colon < 0 ? "@" : ":***@");
}

struct slice
url_referer(struct arena *arena, const struct url *url)
{
    return show(arena, url, SLICE_EMPTY, "");
}
