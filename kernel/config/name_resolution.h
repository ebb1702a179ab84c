/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which resolver finds other sidecars: `spec.nameResolution` of a Configuration (component,
 * version, configuration), as a component like those of documents, which the host can keep.
 */
#ifndef CONFIG_NAME_RESOLUTION_H
#define CONFIG_NAME_RESOLUTION_H

#include "config/component.h"
#include "config/node.h"

/* The name of the component. No document can have it: names with a slash are refused. */
#define NAME_RESOLVER "remora/names"

struct name_resolution {
    struct slice component;     /* "mdns"; empty: the default */
    struct slice version;       /* empty: v1 */
    struct slice configuration; /* a JSON object; empty without */
    /* Its members, lists and maps as JSON. Those of a map once more as "client.tokenFile": by such
     * names manifests grant files. */
    struct component_value *values;
    size_t value_count;
};

/* Takes over what `node` sets, NULL nothing. ERR_CONFIG with "line 3: spec.nameResolution.component
 * must be text, not a list" and the like. */
err_t name_resolution_read(struct arena *arena, const struct node *node,
                           struct name_resolution *settings, struct diag *diag) WARN_UNUSED;

bool name_resolution_is_same(const struct name_resolution *a, const struct name_resolution *b);

/* Adds the resolver to a list of components, whose items `arena` keeps, and copies what it takes.
 * `fallback` is the type where the Configuration names none: "nameresolution.mdns". */
void name_resolution_add(struct arena *arena, const struct name_resolution *settings,
                         const char *fallback, struct component_list *list);

#endif
