/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of the API the application may use: `spec.api.allowed` and `spec.api.denied` of the
 * Configuration. What is denied is not to be had even if it is allowed too; where nothing is
 * allowed by name, all else is. The two protocols have lists of their own. Constant once read; any
 * thread.
 */
#ifndef CONFIG_API_RULES_H
#define CONFIG_API_RULES_H

#include "base/arena.h"
#include "base/err.h"
#include "config/node.h"
#include "config/text_list.h"

enum api_protocol { API_HTTP, API_GRPC };

struct api_rule {
    struct slice name;    /* "state" */
    struct slice version; /* "v1", "v1alpha1", "v1beta1", …: never "v1.0-alpha1" */
    enum api_protocol protocol;
};

struct api_rule_list {
    struct api_rule *items;
    size_t count;
};

struct api_rules {
    struct api_rule_list allowed;
    struct api_rule_list denied;
};

/* The lists of `spec.api` (NULL: none); one that is absent leaves what was there. ERR_CONFIG if one
 * cannot be understood. Adds to ret_ignored what names no API that is known. Lives in the arena. */
err_t api_rules_read(struct arena *arena, const struct node *api, struct api_rules *rules,
                     struct text_list *ret_ignored, struct diag *diag) WARN_UNUSED;

/* The version as it is written in rules or in paths, "v1.0-alpha1" as well as "v1alpha1". */
bool api_rules_allow(const struct api_rules *rules, enum api_protocol protocol, struct slice name,
                     struct slice version);

#endif
