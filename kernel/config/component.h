/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of kind Component as checked structs: which of them are this sidecar's, and what each
 * asks for. Values that need something else stay as they were written until it is there:
 * secretKeyRef is resolved by whoever has secret stores, envRef and placeholders such as {appID} by
 * component_resolve(), which is called right before a component is initialised.
 */
#ifndef CONFIG_COMPONENT_H
#define CONFIG_COMPONENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "config/env.h"
#include "config/resource.h"
#include "config/text_list.h"
#include "config/value.h"

struct component_annotation {
    struct slice name;
    struct slice value;
};

struct component_spec {
    struct slice name;
    struct slice type;    /* "state.redis" as written; may be empty or unknown */
    struct slice version; /* "v1" if missing */
    struct slice namespace_name;
    struct text_list scopes;
    struct component_value *values; /* names are unique */
    size_t value_count;
    struct component_annotation *annotations;
    size_t annotation_count;
    struct slice auth_secret_store;
    struct slice configuration; /* of a resolver of names: a JSON object; empty without */
    bool ignore_errors;
    bool has_secrets;   /* some value has a secretKeyRef */
    bool has_namespace; /* some value had the placeholder {namespace} */
    uint64_t init_timeout_ms;
    const char *file;
    unsigned line;
};

struct component_list {
    struct component_spec *items;
    size_t count;
};

/* Picks the components out of `resources`, secret stores first, else in their order; complaints
 * about broken ones are added to its warnings. Everything delivered is copied into `arena`, so the
 * resources (whose arena is `scratch`) may go afterwards. ERR_CONFIG with the words of the fatal
 * log line if a name is defined twice. */
err_t components_read(struct arena *arena, struct arena *scratch, struct resources *resources,
                      const struct resource_filter *filter, struct component_list *ret_list,
                      struct diag *diag) WARN_UNUSED;

/* "name (type/version)", as logs and errors call a component. */
struct slice component_log_name(struct arena *arena, const struct component_spec *spec);

/* NULL if there is none of that name (any case). */
const struct component_value *component_value(const struct component_spec *spec, struct slice name);
const struct component_annotation *
component_annotation(const struct component_spec *spec, struct slice name);

/* What placeholders stand for. */
struct component_context {
    struct slice app_id;
    struct slice namespace_name; /* "default" if NAMESPACE is not set */
    struct slice pod_name;
    struct slice env_keys; /* DAPR_ENV_KEYS: names that envRef may read, none: most */
    struct env env;
};

/* Fills in envRef values and replaces {uuid}, {podName}, {namespace} and {appID}. A forbidden
 * envRef leaves the value empty and adds a warning. ERR_CONFIG if a value cannot be made. */
err_t component_resolve(struct arena *arena, struct component_spec *spec,
                        const struct component_context *context, struct text_list *warnings,
                        struct diag *diag) WARN_UNUSED;

#endif
