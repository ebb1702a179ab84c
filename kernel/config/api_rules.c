/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of allowed and denied APIs; see api_rules.h. */
#include "config/api_rules.h"

#include "base/limits.h"
#include "config/field.h"

static const char *const known_names[] = {
    "actors",   "bindings", "configuration", "conversation", "crypto",  "healthz",
    "invoke",   "jobs",     "lock",          "metadata",     "publish", "secrets",
    "shutdown", "state",    "subscribe",     "subtlecrypto", "unlock",  "workflows",
};

static bool
is_known(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(known_names); i++)
        if (slice_eq(name, slice_str(known_names[i])))
            return true;
    return false;
}

/* "v1.0" is the long form of "v1", "v1.0-alpha1" that of "v1alpha1". False for what it is not. */
static bool
take_long_form(struct slice version, struct slice *ret_major, struct slice *ret_rest)
{
    ptrdiff_t dot = slice_find(version, SLICE(".0"));
    if (dot < 0)
        return false;
    struct slice rest = slice_from(version, (size_t)dot + 2);
    if (rest.len > 0 && rest.data[0] != '-')
        return false;
    *ret_major = slice_first(version, (size_t)dot);
    *ret_rest = slice_from(rest, 1);
    return true;
}

static bool
same_version(struct slice rule, struct slice given)
{
    struct slice major, rest;
    if (!take_long_form(given, &major, &rest))
        return slice_eq(rule, given);
    return rule.len == major.len + rest.len && slice_has_prefix(rule, major) &&
           slice_has_suffix(rule, rest);
}

/* Compared so often that it is shortened once. */
static struct slice
short_version(struct arena *arena, struct slice version)
{
    struct slice major, rest;
    if (!take_long_form(version, &major, &rest))
        return version;
    return arena_printf(arena, SLICE_FMT SLICE_FMT, SLICE_ARG(major), SLICE_ARG(rest));
}

static err_t
read_rule(struct arena *arena, const struct node *node, const char *path, struct api_rule *ret_rule,
          struct diag *diag)
{
    struct api_rule rule = { .name = SLICE_EMPTY };
    struct slice protocol = SLICE_EMPTY;
    if (node->type != NODE_MAP)
        return field_wrong(diag, path, "a list of maps", node);
    err_t err = field_text(arena, node, "name", path, &rule.name, diag);
    if (err == OK)
        err = field_text(arena, node, "version", path, &rule.version, diag);
    if (err == OK)
        err = field_text(arena, node, "protocol", path, &protocol, diag);
    if (err != OK)
        return err;
    if (rule.name.len == 0 || rule.version.data == NULL || rule.version.len == 0)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: an item of spec.%s has no name or no version",
                         node->line, path);
    if (slice_eq_nocase(protocol, SLICE("grpc")))
        rule.protocol = API_GRPC;
    else if (!slice_eq_nocase(protocol, SLICE("http")))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "line %u: the protocol of an item of spec.%s must be http or grpc",
                         node->line, path);
    rule.version = short_version(arena, rule.version);
    *ret_rule = rule;
    return OK;
}

static err_t
read_list(struct arena *arena, const struct node *list, const char *path,
          struct api_rule_list *ret_list, struct text_list *ret_ignored, struct diag *diag)
{
    if (list->count > LIMIT_api_rules_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.%s has more than %d items", list->line,
                         path, LIMIT_api_rules_max);
    struct api_rule_list rules = { .items = ARENA_ARRAY(arena, struct api_rule, list->count) };
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        struct api_rule *rule = &rules.items[rules.count++];
        err_t err = read_rule(arena, item->value, path, rule, diag);
        if (err != OK)
            return err;
        if (!is_known(rule->name))
            text_list_add(
                arena, ret_ignored,
                arena_printf(arena, "API '" SLICE_FMT "' in spec.%s", SLICE_ARG(rule->name), path));
    }
    *ret_list = rules;
    return OK;
}

err_t
api_rules_read(struct arena *arena, const struct node *api, struct api_rules *rules,
               struct text_list *ret_ignored, struct diag *diag)
{
    const struct node *allowed = NULL, *denied = NULL;
    if (api != NULL && api->type != NODE_MAP)
        return field_wrong(diag, "api", "a map", api);
    err_t err = field_list(api, "allowed", "api.allowed", &allowed, diag);
    if (err == OK)
        err = field_list(api, "denied", "api.denied", &denied, diag);
    if (err == OK && allowed != NULL)
        err = read_list(arena, allowed, "api.allowed", &rules->allowed, ret_ignored, diag);
    if (err == OK && denied != NULL)
        err = read_list(arena, denied, "api.denied", &rules->denied, ret_ignored, diag);
    return err;
}

/* Whether the API is on the list; *ret_has_any: whether the list has any of that protocol. */
static bool
names(const struct api_rule_list *list, enum api_protocol protocol, struct slice name,
      struct slice version, bool *ret_has_any)
{
    bool is_named = false;
    *ret_has_any = false;
    for (size_t i = 0; i < list->count && !is_named; i++) {
        const struct api_rule *rule = &list->items[i];
        if (rule->protocol != protocol)
            continue;
        *ret_has_any = true;
        is_named = slice_eq(rule->name, name) && same_version(rule->version, version);
    }
    return is_named;
}

bool
api_rules_allow(const struct api_rules *rules, enum api_protocol protocol, struct slice name,
                struct slice version)
{
    bool has_any;
    if (names(&rules->denied, protocol, name, version, &has_any))
        return false;
    return names(&rules->allowed, protocol, name, version, &has_any) || !has_any;
}
