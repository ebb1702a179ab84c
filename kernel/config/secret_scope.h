/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which secrets of which store the application may read: `spec.secrets.scopes` of the
 * Configuration. Components are not bound by it. A store without a scope is open. Constant once
 * read; any thread.
 */
#ifndef CONFIG_SECRET_SCOPE_H
#define CONFIG_SECRET_SCOPE_H

#include "base/arena.h"
#include "base/err.h"
#include "config/node.h"
#include "config/text_list.h"

struct secret_scope {
    struct slice store;
    bool is_denied_by_default;
    struct text_list allowed; /* if it holds anything, nothing else may be read */
    struct text_list denied;
};

struct secret_scopes {
    struct secret_scope *items; /* one a store */
    size_t count;
};

/* The list under `spec.secrets` (NULL: no scopes). ERR_CONFIG if it cannot be understood: what is
 * meant to protect is not guessed at. Lives in the arena. */
err_t secret_scopes_read(struct arena *arena, const struct node *secrets,
                         struct secret_scopes *ret_scopes, struct diag *diag) WARN_UNUSED;

bool
secret_scopes_allow(const struct secret_scopes *scopes, struct slice store, struct slice secret);

#endif
