/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes of secrets; see secret_scope.h. */
#include "config/secret_scope.h"

static err_t
unexpected(struct diag *diag, const char *path, const char *expected, const struct node *found)
{
    return DIAG_FAIL(diag, ERR_CONFIG, "line %u: %s: expected %s, found %s", found->line, path,
                     expected, node_what(found));
}

static err_t
read_names(struct arena *arena, const struct node *scope, const char *field, const char *path,
           struct text_list *ret_names, struct diag *diag)
{
    const struct node *list = node_get(scope, slice_str(field));
    if (list == NULL)
        return OK;
    if (list->type != NODE_LIST)
        return unexpected(diag, path, "a list", list);
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        struct slice name;
        if (!node_text(arena, item->value, &name))
            return unexpected(diag, path, "the name of a secret", item->value);
        text_list_add(arena, ret_names, name);
    }
    return OK;
}

static err_t
read_text(struct arena *arena, const struct node *scope, const char *field, const char *path,
          struct slice *ret_text, struct diag *diag)
{
    const struct node *node = node_get(scope, slice_str(field));
    *ret_text = SLICE_EMPTY;
    if (node == NULL)
        return OK;
    return node_text(arena, node, ret_text) ? OK : unexpected(diag, path, "text", node);
}

static err_t
read_default(struct arena *arena, const struct node *node, struct secret_scope *scope,
             struct diag *diag)
{
    struct slice access;
    err_t err = read_text(arena, node, "defaultAccess", "spec.secrets.scopes.defaultAccess",
                          &access, diag);
    if (err != OK)
        return err;
    scope->is_denied_by_default = slice_eq_nocase(access, SLICE("deny"));
    if (access.len > 0 && !scope->is_denied_by_default && !slice_eq_nocase(access, SLICE("allow")))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "defaultAccess " SLICE_FMT " can be either allow or deny",
                         SLICE_ARG(access));
    return OK;
}

static err_t
read_scope(struct arena *arena, const struct node *node, struct secret_scope *ret_scope,
           struct diag *diag)
{
    struct secret_scope scope = { .store = SLICE_EMPTY };
    if (node->type != NODE_MAP)
        return unexpected(diag, "spec.secrets.scopes", "a map", node);
    err_t err = read_text(arena, node, "storeName", "spec.secrets.scopes.storeName", &scope.store,
                          diag);
    if (err == OK)
        err = read_default(arena, node, &scope, diag);
    if (err == OK)
        err = read_names(arena, node, "allowedSecrets", "spec.secrets.scopes.allowedSecrets",
                         &scope.allowed, diag);
    if (err == OK)
        err = read_names(arena, node, "deniedSecrets", "spec.secrets.scopes.deniedSecrets",
                         &scope.denied, diag);
    *ret_scope = scope;
    return err;
}

static const struct secret_scope *
find(const struct secret_scopes *scopes, struct slice store)
{
    for (size_t i = 0; i < scopes->count; i++)
        if (slice_eq(scopes->items[i].store, store))
            return &scopes->items[i];
    return NULL;
}

err_t
secret_scopes_read(struct arena *arena, const struct node *secrets,
                   struct secret_scopes *ret_scopes, struct diag *diag)
{
    struct secret_scopes scopes = { 0 };
    if (secrets != NULL && secrets->type != NODE_MAP)
        return unexpected(diag, "spec.secrets", "a map", secrets);
    const struct node *list = node_get(secrets, SLICE("scopes"));
    if (list != NULL && list->type != NODE_LIST)
        return unexpected(diag, "spec.secrets.scopes", "a list", list);
    if (list != NULL)
        scopes.items = ARENA_ARRAY(arena, struct secret_scope, list->count);
    const struct node_item *item = list == NULL ? NULL : list->items;
    for (; item != NULL; item = item->next) {
        struct secret_scope *scope = &scopes.items[scopes.count];
        err_t err = read_scope(arena, item->value, scope, diag);
        if (err != OK)
            return err;
        if (find(&scopes, scope->store) != NULL)
            return DIAG_FAIL(diag, ERR_CONFIG,
                             SLICE_FMT " storeName is repeated in secrets configuration",
                             SLICE_ARG(scope->store));
        scopes.count++;
    }
    *ret_scopes = scopes;
    return OK;
}

static bool
holds(const struct text_list *names, struct slice name)
{
    for (size_t i = 0; i < names->count; i++)
        if (slice_eq(names->items[i], name))
            return true;
    return false;
}

/* Lists go before the default, and the list of what is allowed before the other. */
bool
secret_scopes_allow(const struct secret_scopes *scopes, struct slice store, struct slice secret)
{
    const struct secret_scope *scope = find(scopes, store);
    if (scope == NULL)
        return true;
    if (scope->allowed.count > 0)
        return holds(&scope->allowed, secret);
    return !scope->is_denied_by_default && !holds(&scope->denied, secret);
}
