/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver that a Configuration asks for; see name_resolution.h. */
#include "config/name_resolution.h"

#include <ctype.h>

#define PREFIX "nameresolution."

enum {
    INIT_TIMEOUT_MS = 5000,
    INNER_VALUES_MAX = 256,
};

static err_t
wrong(struct diag *diag, const struct node *node, const char *field, const char *expected)
{
    return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.nameResolution%s must be %s, not %s",
                     node->line, field, expected, node_what(node));
}

/* Absent: unchanged. */
static err_t
read_text(struct arena *arena, const struct node *map, const char *name, const char *field,
          struct slice *text, struct diag *diag)
{
    const struct node *node = node_get(map, slice_str(name));
    if (node == NULL || node_text(arena, node, text))
        return OK;
    return wrong(diag, node, field, "text");
}

static err_t
too_large(struct diag *diag, const struct node *node)
{
    return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.nameResolution.configuration is too large",
                     node->line);
}

/* Aliases let a small document have any number of members: those of inner maps are counted. */
static bool
add_values(struct arena *arena, const struct node *map, struct slice prefix, size_t *inner_left,
           struct name_resolution *settings)
{
    for (const struct node_item *item = map->items; item != NULL; item = item->next) {
        if (prefix.len > 0 && *inner_left == 0)
            return true;
        *inner_left -= prefix.len > 0;
        struct component_value *value = &settings->values[settings->value_count++];
        value->name = arena_printf(arena, SLICE_FMT SLICE_FMT, SLICE_ARG(prefix),
                                   SLICE_ARG(item->key));
        if (!node_value(arena, item->value, &value->value))
            return false;
        struct slice inner = arena_printf(arena, SLICE_FMT ".", SLICE_ARG(value->name));
        if (item->value->type == NODE_MAP &&
            !add_values(arena, item->value, inner, inner_left, settings))
            return false;
    }
    return true;
}

static err_t
read_configuration(struct arena *arena, const struct node *node, struct name_resolution *settings,
                   struct diag *diag)
{
    if (node == NULL)
        return OK;
    if (node->type != NODE_MAP)
        return wrong(diag, node, ".configuration", "a map");
    if (!node_value(arena, node, &settings->configuration))
        return too_large(diag, node);
    settings->value_count = 0;
    settings->values = ARENA_ARRAY(arena, struct component_value, node->count + INNER_VALUES_MAX);
    size_t inner_left = INNER_VALUES_MAX;
    if (!add_values(arena, node, SLICE(""), &inner_left, settings))
        return too_large(diag, node);
    return OK;
}

err_t
name_resolution_read(struct arena *arena, const struct node *node, struct name_resolution *settings,
                     struct diag *diag)
{
    if (node == NULL)
        return OK;
    if (node->type != NODE_MAP)
        return wrong(diag, node, "", "a map");
    err_t err = read_text(arena, node, "component", ".component", &settings->component, diag);
    if (err == OK)
        err = read_text(arena, node, "version", ".version", &settings->version, diag);
    if (err == OK)
        err = read_configuration(arena, node_get(node, SLICE("configuration")), settings, diag);
    return err;
}

bool
name_resolution_is_same(const struct name_resolution *a, const struct name_resolution *b)
{
    return slice_eq(a->component, b->component) && slice_eq(a->version, b->version) &&
           slice_eq(a->configuration, b->configuration);
}

/* As components are registered by the reference: lower case, behind the category. */
static struct slice
type_of(struct arena *arena, struct slice component, const char *fallback)
{
    if (component.len == 0)
        return slice_str(fallback);
    bool is_whole = slice_has_prefix_nocase(component, SLICE(PREFIX));
    struct slice type = arena_printf(arena, "%s" SLICE_FMT, is_whole ? "" : PREFIX,
                                     SLICE_ARG(component));
    char *lower = arena_str(arena, type);
    for (size_t i = 0; i < type.len; i++)
        lower[i] = (char)tolower((unsigned char)lower[i]);
    return slice_of(lower, type.len);
}

void
name_resolution_add(struct arena *arena, const struct name_resolution *settings,
                    const char *fallback, struct component_list *list)
{
    struct component_spec spec = {
        .name = SLICE(NAME_RESOLVER),
        .type = type_of(arena, slice_trim(settings->component), fallback),
        .version = settings->version.len > 0 ? arena_dup(arena, settings->version) : SLICE("v1"),
        .configuration = arena_dup(arena, settings->configuration),
        .values = ARENA_ARRAY(arena, struct component_value, settings->value_count),
        .value_count = settings->value_count,
        .ignore_errors = true,
        .init_timeout_ms = INIT_TIMEOUT_MS,
        .file = "Configuration",
    };
    for (size_t i = 0; i < spec.value_count; i++) {
        spec.values[i].name = arena_dup(arena, settings->values[i].name);
        spec.values[i].value = arena_dup(arena, settings->values[i].value);
        spec.values[i].source = spec.values[i].value;
    }
    list->items = arena_grow(arena, list->items, list->count * sizeof spec,
                             (list->count + 1) * sizeof spec);
    list->items[list->count++] = spec;
}
