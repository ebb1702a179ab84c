/* SPDX-License-Identifier: Apache-2.0 */
/* Access control as the Configuration has it; see access_control.h. */
#include "config/access_control.h"

#include "base/limits.h"
#include "config/field.h"

/* While it is read. */
struct reading {
    struct arena *arena;
    struct diag *diag;
    struct access_policy *policy;
    struct text_list without_trust_domain;
    struct text_list without_namespace;
    bool is_without_app_id;
    size_t operations;
};

/* "allow" or "deny" in any case; empty leaves it as it was. */
static err_t
read_action(const struct reading *reading, const struct node *map, const char *name,
            const char *path, enum access_action *action)
{
    struct slice text = SLICE_EMPTY;
    err_t err = field_text(reading->arena, map, name, path, &text, reading->diag);
    if (err != OK || text.len == 0)
        return err;
    if (slice_eq_nocase(text, SLICE("allow")))
        *action = ACCESS_ALLOW;
    else if (slice_eq_nocase(text, SLICE("deny")))
        *action = ACCESS_DENY;
    else
        return DIAG_FAIL(reading->diag, ERR_CONFIG,
                         "line %u: spec.%s " SLICE_FMT " can be either allow or deny", map->line,
                         path, SLICE_ARG(text));
    return OK;
}

/* --- operations --------------------------------------------------------------------------------*/

static void
add_verb(struct arena *arena, struct access_rule *rule, struct slice verb,
         enum access_action action)
{
    struct access_verb *item = ARENA_NEW(arena, struct access_verb);
    *item = (struct access_verb){ .verb = verb, .action = action, .next = rule->verbs };
    rule->verbs = item;
    rule->verb_count++;
}

static err_t
read_verbs(struct reading *reading, const struct node *operation, struct access_rule *rule,
           enum access_action action)
{
    static const char path[] = "accessControl.policies.operations.httpVerb";
    const struct node *list = NULL;
    err_t err = field_list(operation, "httpVerb", path, &list, reading->diag);
    if (err != OK)
        return err;
    size_t count = list == NULL || list->count == 0 ? 1 : list->count;
    if (count > LIMIT_access_verbs_max - rule->verb_count)
        return DIAG_FAIL(reading->diag, ERR_CONFIG,
                         "line %u: more than %d items in spec.%s of one operation", operation->line,
                         LIMIT_access_verbs_max, path);
    if (list == NULL || list->count == 0)
        add_verb(reading->arena, rule, SLICE_EMPTY, action);
    const struct node_item *item = list == NULL ? NULL : list->items;
    for (; item != NULL; item = item->next) {
        struct slice verb;
        if (!node_text(reading->arena, item->value, &verb) || verb.len == 0)
            return field_wrong(reading->diag, path, "a list of verbs", item->value);
        add_verb(reading->arena, rule, verb, action);
    }
    return OK;
}

/* An action that is not named denies, as in the reference runtime, whatever its manual says. Of
 * operations with the same name it knows the first only; here another one may still deny. */
static err_t
read_operation(struct reading *reading, const struct node *operation, struct access_trie *trie)
{
    static const char path[] = "accessControl.policies.operations";
    enum access_action action = ACCESS_DENY;
    struct slice name = SLICE_EMPTY;
    if (operation->type != NODE_MAP)
        return field_wrong(reading->diag, path, "a list of maps", operation);
    if (reading->operations++ == LIMIT_access_operations_max)
        return DIAG_FAIL(reading->diag, ERR_CONFIG, "line %u: more than %d operations in spec.%s",
                         operation->line, LIMIT_access_operations_max, path);
    err_t err = field_text(reading->arena, operation, "name", path, &name, reading->diag);
    if (err == OK)
        err = read_action(reading, operation, "action", path, &action);
    if (err != OK)
        return err;
    struct access_rule *rule = name.len > LIMIT_access_name_bytes_max
                                   ? NULL
                                   : access_trie_put(reading->arena, trie, name);
    if (rule == NULL)
        return DIAG_FAIL(reading->diag, ERR_CONFIG,
                         "line %u: a name in spec.%s may have %d bytes and %d segments, none of "
                         "which is '..'",
                         operation->line, path, LIMIT_access_name_bytes_max,
                         LIMIT_access_segments_max);
    bool is_first = rule->action == ACCESS_UNSET;
    if (is_first)
        rule->action = action;
    return is_first || action == ACCESS_DENY ? read_verbs(reading, operation, rule, action) : OK;
}

/* Room for the hash of the tree. */
static size_t
count_segments(const struct node *list)
{
    size_t count = 0;
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        const struct node *name = node_get(item->value, SLICE("name"));
        struct slice rest = name == NULL ? SLICE_EMPTY : name->text, part;
        for (size_t i = 0; i < LIMIT_access_segments_max && slice_split(&rest, '/', &part); i++)
            count++;
    }
    return count;
}

/* --- applications ------------------------------------------------------------------------------*/

static struct access_app **
bucket_of(const struct access_policy *policy, struct slice app_id)
{
    return &policy->buckets[slice_hash(app_id) & policy->mask];
}

static bool
is_complete(struct reading *reading, const struct access_app *app)
{
    bool is_complete = app->app_id.len > 0;
    if (!is_complete)
        reading->is_without_app_id = true;
    if (app->trust_domain.len == 0)
        text_list_add(reading->arena, &reading->without_trust_domain, app->app_id);
    if (app->namespace_.len == 0)
        text_list_add(reading->arena, &reading->without_namespace, app->app_id);
    return is_complete && app->trust_domain.len > 0 && app->namespace_.len > 0;
}

static err_t
read_app(struct reading *reading, const struct node *node)
{
    static const char path[] = "accessControl.policies";
    struct arena *arena = reading->arena;
    struct diag *diag = reading->diag;
    struct access_app *app = ARENA_NEW(arena, struct access_app);
    const struct node *list = NULL;
    if (node->type != NODE_MAP)
        return field_wrong(diag, path, "a list of maps", node);
    *app = (struct access_app){ .app_id = SLICE_EMPTY };
    err_t err = field_text(arena, node, "appId", path, &app->app_id, diag);
    if (err == OK)
        err = field_text(arena, node, "trustDomain", path, &app->trust_domain, diag);
    if (err == OK)
        err = field_text(arena, node, "namespace", path, &app->namespace_, diag);
    if (err == OK)
        err = read_action(reading, node, "defaultAction", path, &app->default_action);
    if (err == OK)
        err = field_list(node, "operations", path, &list, diag);
    if (err != OK || !is_complete(reading, app))
        return err;
    app->operations = access_trie_new(arena, list == NULL ? 0 : count_segments(list));
    const struct node_item *item = list == NULL ? NULL : list->items;
    for (; item != NULL && err == OK; item = item->next)
        err = read_operation(reading, item->value, app->operations);
    struct access_app **bucket = bucket_of(reading->policy, app->app_id);
    app->next = *bucket;
    *bucket = app;
    return err;
}

static struct slice
join(struct arena *arena, const struct text_list *texts)
{
    struct arena_bytes bytes = { 0 };
    for (size_t i = 0; i < texts->count; i++) {
        if (i > 0)
            arena_append(arena, &bytes, SLICE(" "));
        arena_append(arena, &bytes, texts->items[i]);
    }
    return arena_bytes_slice(&bytes);
}

static err_t
read_apps(struct reading *reading, const struct node *list)
{
    size_t size = 1;
    while (size < list->count)
        size *= 2;
    reading->policy->buckets = ARENA_ARRAY(reading->arena, struct access_app *, size);
    reading->policy->mask = size - 1;
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        err_t err = read_app(reading, item->value);
        if (err != OK)
            return err;
    }
    if (reading->without_trust_domain.count == 0 && reading->without_namespace.count == 0 &&
        !reading->is_without_app_id)
        return OK;
    return DIAG_FAIL(reading->diag, ERR_CONFIG,
                     "invalid access control spec. missing trustdomain for apps: [" SLICE_FMT
                     "], missing namespace for apps: [" SLICE_FMT
                     "], missing app name on at least one of the app policies: %s",
                     SLICE_ARG(join(reading->arena, &reading->without_trust_domain)),
                     SLICE_ARG(join(reading->arena, &reading->without_namespace)),
                     reading->is_without_app_id ? "true" : "false");
}

/* --- the whole ---------------------------------------------------------------------------------*/

void
access_spec_merge(struct access_spec *spec, const struct node *section)
{
    const struct node *action = node_get(section, SLICE("defaultAction"));
    const struct node *domain = node_get(section, SLICE("trustDomain"));
    const struct node *policies = node_get(section, SLICE("policies"));
    if (action != NULL)
        spec->default_action = section;
    if (domain != NULL)
        spec->trust_domain = section;
    if (policies != NULL)
        spec->policies = section;
}

err_t
access_control_read(struct arena *arena, const struct access_spec *spec,
                    struct access_control *ret_control, struct diag *diag)
{
    struct access_policy *policy = ARENA_NEW(arena, struct access_policy);
    struct reading reading = { .arena = arena, .diag = diag, .policy = policy };
    struct access_control control = { .trust_domain = SLICE_EMPTY };
    const struct node *list = NULL;
    err_t err = field_text(arena, spec->trust_domain, "trustDomain", "accessControl.trustDomain",
                           &control.trust_domain, diag);
    if (err == OK)
        err = field_list(spec->policies, "policies", "accessControl.policies", &list, diag);
    if (err == OK)
        err = read_action(&reading, spec->default_action, "defaultAction",
                          "accessControl.defaultAction", &policy->default_action);
    if (err != OK)
        return err;
    bool has_apps = list != NULL && list->count > 0;
    if (control.trust_domain.len == 0)
        control.trust_domain = SLICE("public");
    if (policy->default_action == ACCESS_UNSET) {
        control.is_denying_by_caution = has_apps;
        policy->default_action = has_apps ? ACCESS_DENY : ACCESS_ALLOW;
    }
    if (has_apps || policy->default_action == ACCESS_DENY)
        control.policy = policy;
    if (has_apps)
        err = read_apps(&reading, list);
    *ret_control = control;
    return err;
}

const struct access_app *
access_policy_find(const struct access_policy *policy, struct slice trust_domain,
                   struct slice namespace_, struct slice app_id)
{
    const struct access_app *app = policy->buckets == NULL ? NULL : *bucket_of(policy, app_id);
    while (app != NULL &&
           !(slice_eq(app->app_id, app_id) && slice_eq(app->namespace_, namespace_) &&
             slice_eq(app->trust_domain, trust_domain)))
        app = app->next;
    return app;
}
