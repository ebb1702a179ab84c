/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource files: every .yaml and .yml of the given folders, in the order of their names, each
 * split into documents. A document that cannot be read is left out with a warning and the others
 * stay, as the reference does it; a folder that cannot be read ends the start.
 *
 * Called by the control thread. Logs nothing: the caller gets the warnings.
 */
#ifndef CONFIG_RESOURCE_H
#define CONFIG_RESOURCE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "config/node.h"
#include "config/text_list.h"

/* What a document says of itself; missing parts are empty. All of it lives in the arena. */
struct resource {
    struct slice api_version;
    struct slice kind;
    struct slice name;
    struct slice namespace_name;
    struct text_list scopes; /* app ids; none: every app */
    struct node *root;       /* a map */
    const struct node *metadata;
    const struct node *spec;
    const char *file; /* path */
    unsigned line;    /* of the document in it */
};

struct resources {
    struct resource *items;
    size_t count;
    size_t room; /* of items */
    struct text_list warnings;
    struct slice first_broken; /* the first warning of a document that had to be left out */
    const char *reading;       /* the kind that warnings are about; NULL: Component */
};

/* Reads all folders. ERR_CONFIG with the words of the fatal log line if one cannot be read. */
err_t resources_read(struct arena *arena, const struct text_list *folders,
                     struct resources *ret_resources, struct diag *diag) WARN_UNUSED;

/* Adds the documents of one file's text; what resources_read() does for each file. */
err_t resources_add_text(struct arena *arena, const char *file, struct slice text,
                         struct resources *resources, struct diag *diag) WARN_UNUSED;

/* Adds "daprd load KIND … FILE: FILE:LINE:COLUMN: <what>", cut off after resource_warnings_max. */
void resources_warn(struct arena *arena, struct resources *resources, const char *file,
                    const struct node *at, const char *format, ...) PRINTF_LIKE(5, 6);

/* Whether documents are meant for this sidecar. */
struct resource_filter {
    struct slice app_id;
    struct slice namespace_name; /* empty: namespaces are not looked at */
    /* Types of components that are not to be loaded, "state.redis" or "state.redis/v1"; NULL: none
     */
    const struct text_list *denied;
};

bool
resource_is_in_namespace(const struct resource *resource, const struct resource_filter *filter);
bool resource_is_in_scope(const struct resource *resource, const struct resource_filter *filter);

/* Why it cannot be a name, in the words of Kubernetes' rule for one that becomes part of a path;
 * NULL if it can. */
const char *resource_name_fault(struct slice name);

/* The text of a field that must be a scalar: empty if it is absent. False with a warning if it is a
 * list or a map. `path` names it in the warning. */
bool resource_text(struct arena *arena, struct resources *resources, const char *file,
                   const struct node *parent, const char *name, const char *path,
                   struct slice *ret_text) WARN_UNUSED;

#endif
