/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from an answer that sends a client elsewhere, decided as Go's HTTP client decides
 * it, except that nothing confidential goes to another host or leaves TLS. Pure.
 */
#ifndef API_REDIRECT_H
#define API_REDIRECT_H

#include "base/url.h"

enum { REDIRECT_HOPS_MAX = 10 };

/* Whether it is followed, and how it is asked then. `can_repeat`: there is no body, or it can be
 * sent once more. */
bool redirect_is_followed(int status, struct slice method, bool can_repeat,
                          struct slice *ret_method, bool *ret_keeps_body);
/* Whether `next` may hear what was meant for `first`: it is the same host or one below it, and not
 * in plain text what was encrypted. */
bool redirect_is_confidential(const struct url *first, const struct url *next);
/* Headers that only such a target gets. */
bool redirect_drops(struct slice header);
/* Headers that describe a body, and go when it is left out. */
bool redirect_describes_body(struct slice header);
/* Empty: none is sent. */
struct slice redirect_referer(struct arena *arena, const struct url *last, const struct url *next);

#endif
