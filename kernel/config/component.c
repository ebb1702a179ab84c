/* SPDX-License-Identifier: Apache-2.0 */
/* Component documents to structs; see component.h. */
#include "config/component.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/map.h"
#include "config/duration.h"

enum { INIT_TIMEOUT_MS = 5000 };

/* One read in progress. */
struct loader {
    struct arena *arena;   /* what is delivered */
    struct arena *scratch; /* resources and warnings */
    struct resources *resources;
    const struct resource_filter *filter;
    struct map names; /* component name to its log name, in scratch */
    struct buf errors;
    struct component_list list;
    size_t room;
};

struct slice
component_log_name(struct arena *arena, const struct component_spec *spec)
{
    return arena_printf(arena, SLICE_FMT " (" SLICE_FMT "/" SLICE_FMT ")", SLICE_ARG(spec->name),
                        SLICE_ARG(spec->type), SLICE_ARG(spec->version));
}

/* A text field of `parent`, copied into the arena that stays. */
static bool
take_text(struct loader *l, const struct resource *r, const struct node *parent, const char *name,
          const char *path, struct slice *ret_text)
{
    struct slice text;
    if (!resource_text(l->scratch, l->resources, r->file, parent, name, path, &text))
        return false;
    *ret_text = arena_dup(l->arena, text);
    return true;
}

static bool
expect_map(struct loader *l, const struct resource *r, const struct node *node, const char *path)
{
    if (node == NULL || node->type == NODE_MAP)
        return true;
    resources_warn(l->scratch, l->resources, r->file, node, "%s: expected a map, found %s", path,
                   node_what(node));
    return false;
}

/* The last of several values of one name counts; it takes the place of the first. */
static void
put_value(struct loader *l, const struct resource *r, struct component_spec *spec, struct map *seen,
          const struct node *item, struct component_value value)
{
    struct component_value *old = map_get(seen, value.name);
    if (old != NULL) {
        resources_warn(l->scratch, l->resources, r->file, item,
                       "metadata '" SLICE_FMT "' of component " SLICE_FMT
                       " is given more than once, the last one counts",
                       SLICE_ARG(value.name), SLICE_ARG(spec->name));
        *old = value;
        return;
    }
    spec->values[spec->value_count] = value;
    (void)map_put(seen, value.name, &spec->values[spec->value_count++]); /* was not there */
}

static bool
take_values(struct loader *l, const struct resource *r, struct component_spec *spec)
{
    const struct node *list = node_get(r->spec, SLICE("metadata"));
    if (list == NULL)
        return true;
    if (list->type != NODE_LIST) {
        resources_warn(l->scratch, l->resources, r->file, list,
                       "spec.metadata: expected a list, found %s", node_what(list));
        return false;
    }
    spec->values = ARENA_ARRAY(l->arena, struct component_value, list->count);
    struct map seen;
    map_init(&seen);
    bool ok = true;
    const struct value_reader reader = { l->arena, l->scratch, l->resources, r };
    for (const struct node_item *item = list->items; item != NULL && ok; item = item->next) {
        struct component_value value;
        ok = value_read(&reader, item->value, "spec.metadata", &value);
        if (ok)
            put_value(l, r, spec, &seen, item->value, value);
    }
    map_fini(&seen);
    for (size_t i = 0; i < spec->value_count; i++)
        spec->has_secrets |= spec->values[i].secret_name.len > 0;
    return ok;
}

static bool
take_annotations(struct loader *l, const struct resource *r, struct component_spec *spec)
{
    const struct node *map = node_get(r->metadata, SLICE("annotations"));
    if (!expect_map(l, r, map, "metadata.annotations"))
        return false;
    if (map == NULL)
        return true;
    spec->annotations = ARENA_ARRAY(l->arena, struct component_annotation, map->count);
    for (const struct node_item *item = map->items; item != NULL; item = item->next) {
        struct component_annotation *a = &spec->annotations[spec->annotation_count];
        if (!node_text(l->arena, item->value, &a->value)) {
            resources_warn(l->scratch, l->resources, r->file, item->value,
                           "metadata.annotations: expected text, found %s", node_what(item->value));
            return false;
        }
        a->name = arena_dup(l->arena, item->key);
        spec->annotation_count++;
    }
    return true;
}

static bool
take_options(struct loader *l, const struct resource *r, struct component_spec *spec)
{
    const struct node *ignore = node_get(r->spec, SLICE("ignoreErrors"));
    const struct node *auth = node_get(r->root, SLICE("auth"));
    struct slice timeout = SLICE_EMPTY;
    if (ignore != NULL && !node_bool(ignore, &spec->ignore_errors)) {
        resources_warn(l->scratch, l->resources, r->file, ignore,
                       "spec.ignoreErrors: expected a bool, found %s", node_what(ignore));
        return false;
    }
    if (!expect_map(l, r, auth, "auth") ||
        !take_text(l, r, auth, "secretStore", "auth.secretStore", &spec->auth_secret_store) ||
        !take_text(l, r, r->spec, "initTimeout", "spec.initTimeout", &timeout))
        return false;
    char error[DURATION_ERROR_BYTES];
    int64_t ns;
    /* The reference falls back without a word to its default. */
    if (timeout.len > 0 && duration_parse(timeout, &ns, error) && ns > 0)
        spec->init_timeout_ms = ((uint64_t)ns + DURATION_MS_NS - 1) / DURATION_MS_NS;
    return true;
}

static bool
take_component(struct loader *l, const struct resource *r, struct component_spec *spec)
{
    *spec = (struct component_spec){
        .name = arena_dup(l->arena, r->name),
        .namespace_name = arena_dup(l->arena, r->namespace_name),
        .init_timeout_ms = INIT_TIMEOUT_MS,
        .file = arena_str(l->arena, slice_str(r->file)),
        .line = r->line,
    };
    if (!expect_map(l, r, r->spec, "spec") ||
        !take_text(l, r, r->spec, "type", "spec.type", &spec->type) ||
        !take_text(l, r, r->spec, "version", "spec.version", &spec->version))
        return false;
    if (spec->version.len == 0)
        spec->version = SLICE("v1");
    for (size_t i = 0; i < r->scopes.count; i++)
        text_list_add(l->arena, &spec->scopes, r->scopes.items[i]);
    return take_options(l, r, spec) && take_annotations(l, r, spec) && take_values(l, r, spec);
}

static bool
is_valid_name(struct loader *l, const struct resource *r)
{
    const char *fault = resource_name_fault(r->name);
    if (fault != NULL)
        resources_warn(l->scratch, l->resources, r->file, r->root,
                       "invalid name \"" SLICE_FMT "\" for \"Component\": %s", SLICE_ARG(r->name),
                       fault);
    return fault == NULL;
}

static bool
is_component(const struct resource *r)
{
    return slice_eq(r->kind, SLICE("Component")) &&
           (r->api_version.len == 0 || slice_eq(r->api_version, SLICE("dapr.io/v1alpha1")));
}

static bool
add_duplicate(struct loader *l, struct slice log_name, const struct slice *existing)
{
    return (l->errors.len == 0 || buf_append_byte(&l->errors, '\n')) &&
           buf_append(&l->errors, SLICE("duplicate definition of Component name ")) &&
           buf_append(&l->errors, log_name) && buf_append(&l->errors, SLICE(" with existing ")) &&
           buf_append(&l->errors, *existing);
}

/* By type, or by type and version. */
static bool
is_denied(const struct loader *l, const struct component_spec *spec)
{
    const struct text_list *denied = l->filter->denied;
    for (size_t i = 0; denied != NULL && i < denied->count; i++) {
        struct slice rule = denied->items[i];
        ptrdiff_t slash = slice_find_byte(rule, '/');
        struct slice type = slash < 0 ? rule : slice_first(rule, (size_t)slash);
        if (slice_eq_nocase(type, spec->type) &&
            (slash < 0 || slice_eq_nocase(slice_from(rule, (size_t)slash + 1), spec->version)))
            return true;
    }
    return false;
}

/* A name is taken by the first document that has it, in scope or not; a later one that is out of
 * scope is no duplicate. */
static void
add_component(struct loader *l, const struct resource *r)
{
    struct component_spec spec;
    if (!is_valid_name(l, r) || !take_component(l, r, &spec))
        return;
    const struct slice *existing = map_get(&l->names, spec.name);
    bool in_scope = resource_is_in_scope(r, l->filter);
    struct slice log_name = component_log_name(l->scratch, &spec);
    if (existing != NULL) {
        if (in_scope && !add_duplicate(l, log_name, existing))
            return; /* the message is long enough */
        return;
    }
    struct slice *kept = ARENA_NEW(l->scratch, struct slice);
    *kept = log_name;
    (void)map_put(&l->names, spec.name, kept); /* was not there */
    if (!in_scope)
        return;
    if (is_denied(l, &spec)) {
        text_list_add(l->scratch, &l->resources->warnings,
                      arena_printf(l->scratch,
                                   "component " SLICE_FMT " is not loaded: components.deny of the "
                                   "Configuration names its type",
                                   SLICE_ARG(log_name)));
        return;
    }
    if (l->list.count == l->room) {
        size_t room = l->room == 0 ? 8 : l->room * 2;
        l->list.items = arena_grow(l->arena, l->list.items, l->room * sizeof spec,
                                   room * sizeof spec);
        l->room = room;
    }
    l->list.items[l->list.count++] = spec;
}

/* Secret stores first, since others wait for them; else as they were. */
static void
put_stores_first(struct arena *scratch, struct component_list *list)
{
    struct component_spec *sorted = ARENA_ARRAY(scratch, struct component_spec, list->count);
    size_t count = 0;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < list->count; i++)
            if (slice_has_prefix_nocase(list->items[i].type, SLICE("secretstores.")) ==
                (round == 0))
                sorted[count++] = list->items[i];
    if (count > 0)
        memcpy(list->items, sorted, count * sizeof *sorted);
}

err_t
components_read(struct arena *arena, struct arena *scratch, struct resources *resources,
                const struct resource_filter *filter, struct component_list *ret_list,
                struct diag *diag)
{
    enum { ERROR_BYTES_MAX = 3500 }; /* a diag holds 4,096 */
    struct loader l = {
        .arena = arena, .scratch = scratch, .resources = resources, .filter = filter
    };
    err_t err = OK;
    map_init(&l.names);
    buf_init(&l.errors, ERROR_BYTES_MAX);
    for (size_t i = 0; i < resources->count && l.list.count <= LIMIT_components_max; i++)
        if (is_component(&resources->items[i]) &&
            resource_is_in_namespace(&resources->items[i], filter))
            add_component(&l, &resources->items[i]);
    if (l.list.count > LIMIT_components_max)
        err = DIAG_FAIL(diag, ERR_CONFIG, "failed to load components: more than %d components",
                        (int)LIMIT_components_max);
    else if (l.errors.len > 0)
        err = DIAG_FAIL(diag, ERR_CONFIG, "failed to load components: " SLICE_FMT,
                        SLICE_ARG(buf_slice(&l.errors)));
    else
        *ret_list = l.list;
    if (err == OK)
        put_stores_first(scratch, ret_list);
    map_fini(&l.names);
    buf_fini(&l.errors);
    return err;
}

const struct component_value *
component_value(const struct component_spec *spec, struct slice name)
{
    for (size_t i = 0; i < spec->value_count; i++)
        if (slice_eq_nocase(spec->values[i].name, name))
            return &spec->values[i];
    return NULL;
}

const struct component_annotation *
component_annotation(const struct component_spec *spec, struct slice name)
{
    for (size_t i = 0; i < spec->annotation_count; i++)
        if (slice_eq(spec->annotations[i].name, name))
            return &spec->annotations[i];
    return NULL;
}
