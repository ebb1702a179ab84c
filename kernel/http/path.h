/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as the API routes them. Routing happens on the raw path, so that an encoded slash never
 * separates and an encoded dot never climbs; each segment is decoded once, after routing:
 *
 *     struct slice rest = path_clean(arena, x->path), segment;
 *     while (path_next(&rest, &segment))        // "v1.0", "state", "mem", "a%2Fb"
 *         …
 *     if (!path_decode(arena, segment, &key))   // "a/b"
 *         …                                     // cannot happen behind h1_head.c, which refused it
 *
 * Pure. Results point into the input where it can serve, else into the arena.
 */
#ifndef HTTP_PATH_H
#define HTTP_PATH_H

#include "base/arena.h"
#include "base/slice.h"

/* Without empty and "." segments, with ".." resolved (never above the root) and without a slash at
 * the end: "/v1.0//state/./mem/" gives "/v1.0/state/mem", "" and "//" give "/". The slashes of an
 * invocation's URL ("/v1.0/invoke/http://host/…") stay. A path that does not begin with a slash
 * ("*") is left as it is. */
struct slice path_clean(struct arena *arena, struct slice raw);

/* Takes the next raw segment off the front of a cleaned path; false at its end. */
bool path_next(struct slice *rest, struct slice *ret_segment);

/* Every % begins an escape of two hex digits. */
bool path_escapes_are_valid(struct slice raw);

/* Percent-decodes once; any byte may come out. False for a bad escape. */
bool path_decode(struct arena *arena, struct slice raw, struct slice *ret_text) WARN_UNUSED;

#endif
