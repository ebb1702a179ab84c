/* SPDX-License-Identifier: Apache-2.0 */
/* Redirections of endpoints; see redirect.h. */
#include "api/redirect.h"

bool
redirect_is_followed(int status, struct slice method, bool can_repeat, struct slice *ret_method,
                     bool *ret_keeps_body)
{
    bool is_reading = slice_eq(method, SLICE("GET")) || slice_eq(method, SLICE("HEAD"));
    switch (status) {
    case 301:
    case 302:
    case 303:
        *ret_method = is_reading ? method : SLICE("GET");
        *ret_keeps_body = false;
        return true;
    case 307:
    case 308:
        *ret_method = method;
        *ret_keeps_body = true;
        return can_repeat;
    default:
        return false;
    }
}

/* Equal, or "sub.parent"; addresses have nothing below them. */
static bool
is_below(struct slice host, struct slice parent)
{
    if (slice_eq_nocase(host, parent))
        return true;
    if (slice_find_byte(host, ':') >= 0 || host.len <= parent.len + 1 || parent.len == 0)
        return false;
    struct slice end = slice_from(host, host.len - parent.len);
    return end.data[-1] == '.' && slice_eq_nocase(end, parent);
}

bool
redirect_is_confidential(const struct url *first, const struct url *next)
{
    return is_below(next->host, first->host) && (next->is_https || !first->is_https);
}

bool
redirect_drops(struct slice header)
{
    static const char *const names[] = { "authorization", "www-authenticate", "cookie", "cookie2" };
    return slice_is_one_of_nocase(header, names, ARRAY_LEN(names));
}

bool
redirect_describes_body(struct slice header)
{
    static const char *const names[] = { "content-type", "content-encoding", "content-language",
                                         "content-location", "content-length" };
    return slice_is_one_of_nocase(header, names, ARRAY_LEN(names));
}

struct slice
redirect_referer(struct arena *arena, const struct url *last, const struct url *next)
{
    return last->is_https && !next->is_https ? SLICE_EMPTY : url_referer(arena, last);
}
