/* SPDX-License-Identifier: Apache-2.0 */
/* Output bindings, for every surface: one operation of a binding. Suspends; results live in the
 * request's arena. */
#ifndef API_BINDING_H
#define API_BINDING_H

#include "api/request.h"
#include "http/http.h"

struct binding_request {
    struct slice name;
    struct slice operation;
    struct slice data;
    const struct pair *metadata;
    size_t metadata_count;
};

struct binding_response {
    bool responds; /* false: it has nothing to say, not even empty data */
    struct slice data;
    const struct pair *metadata; /* also of some failures */
    size_t metadata_count;
};

err_t binding_invoke(struct request *rq, const struct binding_request *request,
                     struct binding_response *ret_response) WARN_UNUSED;

/* The metadata of a response as headers `metadata.NAME`, those that can be; in the arena. */
size_t binding_headers(struct request *rq, const struct binding_response *response,
                       const struct http_header **ret_headers);

#endif
