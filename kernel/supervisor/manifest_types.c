/* SPDX-License-Identifier: Apache-2.0 */
/* The component types of a plugin: read from its manifest, and found in it. */
#include <string.h>

#include "base/limits.h"
#include "supervisor/manifest_reader.h"

static bool
read_type_name(struct manifest_reader *r, yaml_node_t *value)
{
    const char *text = NULL;
    if (!manifest_read_text(r, value, &text))
        return false;
    char *lower = arena_str(&r->manifest->arena, slice_str(text));
    for (char *p = lower; *p != '\0'; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
    const char *star = strchr(lower, '*'), *dot = strchr(lower, '.');
    if (dot == NULL || strlen(lower) > 128 || (star != NULL && strcmp(dot, ".*") != 0))
        return manifest_complain(r, value,
                                 "expected a component type such as state.redis or state.*");
    r->type->type = lower;
    return true;
}

static bool
read_type_versions(struct manifest_reader *r, yaml_node_t *value)
{
    if (!manifest_read_list(r, value, &r->type->versions))
        return false;
    return r->type->versions.count > 0 ||
           manifest_complain(r, value, "expected at least one version");
}

static bool
read_type_replace(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "overlap", "exclusive", "handover", NULL };
    int index = 0;
    if (!manifest_read_word(r, value, words, "overlap, exclusive or handover", &index))
        return false;
    r->type->replace = (enum manifest_replace)index;
    return true;
}

static bool
read_type_environment(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "none", "sidecar", NULL };
    int index = 0;
    if (!manifest_read_word(r, value, words, "none or sidecar", &index))
        return false;
    r->type->wants_environment = index == 1;
    return true;
}

bool
manifest_read_types(struct manifest_reader *r, yaml_node_t *value)
{
    static const struct manifest_field fields[] = {
        { "type", read_type_name },
        { "versions", read_type_versions },
        { "replace", read_type_replace },
        { "environment", read_type_environment },
        { NULL, NULL },
    };
    static const char *v1[] = { "v1" };
    ptrdiff_t count = manifest_read_items(r, value, LIMIT_plugin_types_max, "component types");
    if (count < 0)
        return false;
    struct manifest *m = r->manifest;
    m->types = ARENA_ARRAY(&m->arena, struct manifest_type, (size_t)count);
    m->type_count = (size_t)count;
    for (ptrdiff_t i = 0; i < count; i++) {
        yaml_node_t *node = manifest_node(r, value->data.sequence.items.start[i]);
        r->type = &m->types[i];
        *r->type = (struct manifest_type){ .versions = { .items = v1, .count = 1 } };
        if (!manifest_read_mapping(r, node, fields, "a component type"))
            return false;
        if (r->type->type == NULL)
            return manifest_complain(r, node, "\"type\" is missing here");
    }
    return true;
}

static bool
read_types_variable(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_text(r, value, &r->manifest->types_variable);
}

static bool
read_types_folder(struct manifest_reader *r, yaml_node_t *value)
{
    if (!manifest_read_text(r, value, &r->manifest->types_folder))
        return false;
    return r->manifest->types_folder[0] == '/' ||
           manifest_complain(r, value, "expected an absolute path");
}

bool
manifest_read_types_from(struct manifest_reader *r, yaml_node_t *value)
{
    static const struct manifest_field fields[] = {
        { "variable", read_types_variable },
        { "folder", read_types_folder },
        { NULL, NULL },
    };
    if (!manifest_read_mapping(r, value, fields, "types_from"))
        return false;
    if (r->manifest->types_variable == NULL || r->manifest->types_folder == NULL)
        return manifest_complain(r, value, "\"types_from\" has \"variable\" and \"folder\"");
    return true;
}

bool
manifest_has_any_type(const struct manifest *m)
{
    for (size_t i = 0; i < m->type_count; i++)
        if (strchr(m->types[i].type, '*') != NULL)
            return true;
    return false;
}

static const struct manifest_type *
find_type(const struct manifest *manifest, struct slice type, struct slice version)
{
    for (size_t i = 0; i < manifest->type_count; i++) {
        const struct manifest_type *t = &manifest->types[i];
        if (!slice_eq_nocase(type, slice_str(t->type)))
            continue;
        for (size_t v = 0; v < t->versions.count; v++)
            if (slice_eq_nocase(version, slice_str(t->versions.items[v])))
                return t;
    }
    return NULL;
}

struct slice
manifest_any_type(struct slice type, struct arena *arena)
{
    ptrdiff_t dot = slice_find_byte(type, '.');
    return dot < 0 ? SLICE_EMPTY
                   : arena_printf(arena, SLICE_FMT ".*", SLICE_ARG(slice_first(type, (size_t)dot)));
}

const struct manifest_type *
manifest_find_type(const struct manifest *manifest, struct slice type, struct slice version)
{
    const struct manifest_type *found = find_type(manifest, type, version);
    if (found == NULL && manifest->types_folder != NULL) {
        struct arena scratch;
        arena_init(&scratch);
        found = find_type(manifest, manifest_any_type(type, &scratch), version);
        arena_fini(&scratch);
    }
    return found;
}
