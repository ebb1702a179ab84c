/* SPDX-License-Identifier: Apache-2.0 */
/* Values that stand in a document, or in a secret store, or in the environment; see value.h. */
#include "config/value.h"

/* --- reading -----------------------------------------------------------------------------------*/

static bool
refuse(const struct value_reader *reader, const struct node *node, const char *path,
       const char *expected)
{
    resources_warn(reader->scratch, reader->resources, reader->resource->file, node,
                   "%s: expected %s, found %s", path, expected, node_what(node));
    return false;
}

static bool
take_text(const struct value_reader *reader, const struct node *parent, const char *name,
          const char *path, struct slice *ret_text)
{
    struct slice text;
    struct slice full = arena_printf(reader->scratch, "%s.%s", path, name);
    if (!resource_text(reader->scratch, reader->resources, reader->resource->file, parent, name,
                       full.data, &text))
        return false;
    *ret_text = arena_dup(reader->arena, text);
    return true;
}

static bool
take_secret(const struct value_reader *reader, const struct node *item, const char *path,
            struct component_value *value)
{
    const struct node *ref = node_get(item, SLICE("secretKeyRef"));
    const char *ref_path = arena_printf(reader->scratch, "%s.secretKeyRef", path).data;
    if (ref != NULL && ref->type != NODE_MAP)
        return refuse(reader, ref, ref_path, "a map");
    if (!take_text(reader, ref, "name", ref_path, &value->secret_name) ||
        !take_text(reader, ref, "key", ref_path, &value->secret_key))
        return false;
    if (value->secret_key.len == 0)
        value->secret_key = value->secret_name;
    return true;
}

bool
value_read(const struct value_reader *reader, const struct node *item, const char *path,
           struct component_value *ret_value)
{
    struct component_value value = { .value = SLICE_EMPTY };
    if (item->type != NODE_MAP)
        return refuse(reader, item, path, "a map with a name and a value");
    const struct node *content = node_get(item, SLICE("value"));
    if (content != NULL && !node_value(reader->arena, content, &value.value)) {
        resources_warn(reader->scratch, reader->resources, reader->resource->file, content,
                       "%s: value too large", path);
        return false;
    }
    if (!take_text(reader, item, "name", path, &value.name) ||
        !take_text(reader, item, "envRef", path, &value.env_name) ||
        !take_secret(reader, item, path, &value))
        return false;
    value.source = value.value;
    *ret_value = value;
    return true;
}

bool
value_is_same(const struct component_value *a, const struct component_value *b)
{
    return slice_eq(a->name, b->name) && slice_eq(a->source, b->source) &&
           slice_eq(a->secret_name, b->secret_name) && slice_eq(a->secret_key, b->secret_key) &&
           slice_eq(a->env_name, b->env_name);
}

/* --- the environment ---------------------------------------------------------------------------*/

static struct slice
to_upper(struct arena *arena, struct slice text)
{
    char *copy = arena_str(arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (copy[i] >= 'a' && copy[i] <= 'z')
            copy[i] = (char)(copy[i] - 'a' + 'A');
    return slice_of(copy, text.len);
}

/* Tokens of the sidecar itself are out of reach; DAPR_ENV_KEYS, if set, lists what is not. */
static bool
is_env_allowed(struct arena *arena, struct slice name, struct slice allowed)
{
    name = to_upper(arena, name);
    if (name.len == 0 || slice_eq(name, SLICE("APP_API_TOKEN")) ||
        slice_has_prefix(name, SLICE("DAPR_")) || slice_find_byte(name, ' ') >= 0)
        return false;
    if (allowed.len == 0)
        return true;
    struct slice part, rest = to_upper(arena, allowed);
    while (slice_split(&rest, ' ', &part))
        if (slice_eq(part, name))
            return true;
    return false;
}

bool
value_read_env(struct arena *arena, struct slice name, struct slice allowed, struct env env,
               struct slice *ret_value)
{
    if (!is_env_allowed(arena, name, allowed))
        return false;
    *ret_value = arena_dup(arena, slice_str(env_get(env, arena_str(arena, name))));
    return true;
}
