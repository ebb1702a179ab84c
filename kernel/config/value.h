/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value of a resource document that may stand somewhere else: written in place, or named by
 * secretKeyRef or envRef and looked up when it is needed.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"
#include "config/env.h"
#include "config/resource.h"

/* Slices are NUL-terminated behind their end. */
struct component_value {
    struct slice name;
    struct slice value;
    struct slice source;      /* the value as it was written: component_resolve() leaves it alone */
    struct slice secret_name; /* secretKeyRef.name; empty: the value counts */
    struct slice secret_key;  /* secretKeyRef.key, or the name if that is missing */
    struct slice env_name;    /* envRef */
};

/* Where a document is read. */
struct value_reader {
    struct arena *arena;   /* what is delivered */
    struct arena *scratch; /* of the resources, and for warnings */
    struct resources *resources;
    const struct resource *resource;
};

/* The map `item` with any of name, value, secretKeyRef and envRef. `path` names it in warnings.
 * False with a warning if it is not well-formed. */
bool value_read(const struct value_reader *reader, const struct node *item, const char *path,
                struct component_value *ret_value) WARN_UNUSED;
/* As written: what is made of them does not count. */
bool value_is_same(const struct component_value *a, const struct component_value *b);

/* What envRef names; empty if it is not set. False: it is out of reach. `allowed` are the names of
 * DAPR_ENV_KEYS, empty: most. */
bool value_read_env(struct arena *arena, struct slice name, struct slice allowed, struct env env,
                    struct slice *ret_value) WARN_UNUSED;

#endif
