/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may call what of the application: `spec.accessControl` of the Configuration, read into a form
 * in which api/access.c finds the rule of a call. Constant once read; any thread.
 */
#ifndef CONFIG_ACCESS_CONTROL_H
#define CONFIG_ACCESS_CONTROL_H

#include "base/arena.h"
#include "base/err.h"
#include "config/access_trie.h"
#include "config/node.h"
#include "config/text_list.h"

/* What one application may call. */
struct access_app {
    struct slice trust_domain;
    struct slice namespace_;
    struct slice app_id;
    enum access_action default_action; /* ACCESS_UNSET: the policy's */
    struct access_trie *operations;
    struct access_app *next; /* of its bucket; of equal ones the last stands first */
};

struct access_policy {
    enum access_action default_action; /* of whom no application stands for */
    struct access_app **buckets;
    size_t mask;
};

struct access_control {
    struct slice trust_domain;          /* ours: "public" if none is named */
    const struct access_policy *policy; /* NULL: every call is allowed */
    bool is_denying_by_caution;         /* there are rules, but no default action is named */
};

/* Which section of several files has the last word about what; zeroed it is empty. */
struct access_spec {
    const struct node *default_action;
    const struct node *trust_domain;
    const struct node *policies;
};

/* Another file's `spec.accessControl`, which lives on until all are read; NULL is nothing. */
void access_spec_merge(struct access_spec *spec, const struct node *section);

/* ERR_CONFIG if it cannot be understood: what is meant to protect is not guessed at. Lives in the
 * arena. */
err_t access_control_read(struct arena *arena, const struct access_spec *spec,
                          struct access_control *ret_control, struct diag *diag) WARN_UNUSED;

/* NULL if the policy does not name the application. */
const struct access_app *
access_policy_find(const struct access_policy *policy, struct slice trust_domain,
                   struct slice namespace_, struct slice app_id);

#endif
