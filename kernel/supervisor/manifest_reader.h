/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parts of plugin.yaml are read: values of each kind, bounded, with complaints that name
 * their line. Nobody but manifest*.c includes this.
 */
#ifndef SUPERVISOR_MANIFEST_READER_H
#define SUPERVISOR_MANIFEST_READER_H

#include <yaml.h>

#include "supervisor/manifest.h"

enum { MANIFEST_ITEMS_MAX = 64 }; /* of a list */

struct manifest_reader {
    yaml_document_t *document;
    struct manifest *manifest;
    struct diag *diag;
    struct manifest_type *type; /* being read */
    struct manifest_file *file;
    bool is_api_version_known;
    bool is_kind_known;
};

/* Reads one value; false after manifest_complain(). */
typedef bool manifest_read_fn(struct manifest_reader *r, yaml_node_t *value);

/* Of a mapping; one without a name ends them. */
struct manifest_field {
    const char *name;
    manifest_read_fn *read;
};

/* False. */
bool manifest_complain(struct manifest_reader *r, const yaml_node_t *at, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* --- values: false after a complaint -----------------------------------------------------------*/

/* Not empty, below PATH_MAX; in the manifest's arena. */
bool manifest_read_text(struct manifest_reader *r, yaml_node_t *value, const char **ret_text);
/* The index of the value in `words`, which end with NULL; `expected` lists them for the user. */
bool manifest_read_word(struct manifest_reader *r, yaml_node_t *value, const char *const *words,
                        const char *expected, int *ret_index);
bool manifest_read_bool(struct manifest_reader *r, yaml_node_t *value, bool *ret_value);
/* From 1, perhaps with a unit: "64Mi". */
bool manifest_read_amount(struct manifest_reader *r, yaml_node_t *value, uint64_t max,
                          uint64_t *ret_value);
bool
manifest_read_list(struct manifest_reader *r, yaml_node_t *value, struct manifest_list *ret_list);
/* Each key is known and there once; `what` is for the user. */
bool manifest_read_mapping(struct manifest_reader *r, yaml_node_t *node,
                           const struct manifest_field *fields, const char *what);
/* The count of a list of mappings, or -1 after a complaint. */
ptrdiff_t
manifest_read_items(struct manifest_reader *r, yaml_node_t *value, size_t max, const char *what);
yaml_node_t *manifest_node(struct manifest_reader *r, int index);

/* Relative to the manifest's folder; without a "." at its end. */
const char *
manifest_path_beside(const struct manifest *manifest, const char *path, struct arena *arena);

/* --- parts -------------------------------------------------------------------------------------*/

manifest_read_fn manifest_read_types, manifest_read_types_from; /* manifest_types.c */
bool manifest_has_any_type(const struct manifest *manifest);
manifest_read_fn manifest_read_files; /* manifest_files.c */

#endif
