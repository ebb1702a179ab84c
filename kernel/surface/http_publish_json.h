/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a bulk publish over HTTP: [{entryId, event, contentType, metadata}]. What an event is
 * depends on its type: JSON keeps its bytes, a text is decoded, bytes come as base64.
 */
#ifndef SURFACE_HTTP_PUBLISH_JSON_H
#define SURFACE_HTTP_PUBLISH_JSON_H

#include "api/publish_bulk.h"

/* Fills the entries, which live in the request's arena and borrow from `body`, or records why not.
 * Does not suspend: http_parse() runs it. */
err_t
parse_bulk_entries(struct request *rq, struct slice body, struct publish_bulk *bulk) WARN_UNUSED;

#endif
