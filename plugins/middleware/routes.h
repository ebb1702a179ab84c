/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of aliases: "/hello/{id}/info" → "/v1.0/invoke/app/method/info". Parts in braces stand
 * for one segment, or with an expression behind a colon ("{id:[0-9]+}") for what that matches; they
 * become parameters of the query. The first route that matches counts.
 */
#ifndef MIDDLEWARE_ROUTES_H
#define MIDDLEWARE_ROUTES_H

#include <stdbool.h>

#include "remora_plugin.h"

enum { ROUTES_MAX = 1000, ROUTES_BYTES_MAX = 1024 * 1024, ROUTES_WORDS_BYTES = 256 };

struct routes;

struct routes *routes_new(void);
void routes_free(struct routes *routes);

/* One route. False: `ret_why` says why not. */
bool routes_add(struct routes *routes, struct remora_slice from, struct remora_slice to,
                char ret_why[ROUTES_WORDS_BYTES]);
/* A dictionary of them in JSON or YAML. */
bool routes_read(struct routes *routes, struct remora_slice text, char ret_why[ROUTES_WORDS_BYTES]);

/* Memory for a result, from whoever asks for it: remora_call_alloc(). */
typedef void *routes_alloc(remora_call *call, size_t bytes);

/* What becomes of a path (encoded, as it came) and its query, in the call's memory. False: no route
 * matches. */
bool routes_apply(const struct routes *routes, routes_alloc *alloc, remora_call *call,
                  struct remora_slice path, struct remora_slice query,
                  struct remora_slice *ret_path, struct remora_slice *ret_query);

#endif
