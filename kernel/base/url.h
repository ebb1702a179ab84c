/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Absolute URLs of http and https, and references to others as they stand in a Location header (RFC
 * 3986). Parts stay as they were written: nothing is decoded, so that nothing can change its
 * meaning on the way. Pure; parts point into the text, errors are in the words Go's users know.
 */
#ifndef BASE_URL_H
#define BASE_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct url {
    bool is_https;
    bool has_userinfo;
    struct slice userinfo;  /* "user:password" or "user" */
    struct slice authority; /* "host:port" as written, without the userinfo */
    struct slice host;      /* without the brackets of IPv6; may be empty */
    uint16_t port;          /* 80 or 443 where none is named */
    struct slice path;      /* with its first slash; may be empty */
    struct slice query;     /* without the question mark */
};

/* Of an absolute URL; a fragment is left out. False with the words behind `parse "…": `, or of a
 * scheme that is not ours, in *ret_error. */
bool url_parse(struct arena *arena, struct slice text, struct url *ret_url,
               struct slice *ret_error) WARN_UNUSED;
/* Of a reference found at `base`: "../x", "//host/x", "?q" … False as above. */
bool url_resolve(struct arena *arena, const struct url *base, struct slice reference,
                 struct url *ret_url, struct slice *ret_error) WARN_UNUSED;

/* As people may see it, a password replaced by stars. */
struct slice url_show(struct arena *arena, const struct url *url);
/* Without userinfo: what a Referer says. */
struct slice url_referer(struct arena *arena, const struct url *url);

#endif
