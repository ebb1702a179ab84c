/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of kind HTTPEndpoint as checked structs: addresses outside the mesh that an application
 * may call by name, with headers and TLS parts of their own. What stands in a secret store is
 * looked up by whoever makes the calls; see api/endpoint.h.
 */
#ifndef CONFIG_HTTP_ENDPOINT_H
#define CONFIG_HTTP_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/value.h"

/* Parts of spec.clientTLS; their values stand behind those of the headers. */
enum endpoint_tls_part {
    ENDPOINT_ROOT_CA,
    ENDPOINT_CERTIFICATE,
    ENDPOINT_PRIVATE_KEY,
    ENDPOINT_TLS_PARTS,
};

struct http_endpoint_spec {
    struct slice name;
    struct slice namespace_name;
    struct slice base_url; /* as written; a call tells what is wrong with it */
    struct slice auth_secret_store;
    struct component_value *values; /* headers in their order, then the parts of clientTLS */
    size_t header_count;
};

static inline const struct component_value *
http_endpoint_tls(const struct http_endpoint_spec *spec, enum endpoint_tls_part part)
{
    return &spec->values[spec->header_count + part];
}

static inline size_t
http_endpoint_value_count(const struct http_endpoint_spec *spec)
{
    return spec->header_count + ENDPOINT_TLS_PARTS;
}

struct http_endpoint_list {
    struct http_endpoint_spec *items;
    size_t count;
    struct text_list broken; /* names of documents that were left out with a warning */
};

/* What envRef may name. */
struct http_endpoint_context {
    struct slice env_keys; /* DAPR_ENV_KEYS */
    struct env env;
};

/* Picks the endpoints out of `resources`; complaints about broken ones are added to its warnings
 * and do not count as broken components. Everything delivered is copied into `arena`. ERR_CONFIG
 * with the words of the fatal log line if a name is defined twice. */
err_t http_endpoints_read(struct arena *arena, struct arena *scratch, struct resources *resources,
                          const struct resource_filter *filter,
                          const struct http_endpoint_context *context,
                          struct http_endpoint_list *ret_list, struct diag *diag) WARN_UNUSED;

bool http_endpoint_is_same(const struct http_endpoint_spec *a, const struct http_endpoint_spec *b);

#endif
