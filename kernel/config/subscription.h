/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of kind Subscription as checked structs, versions v1alpha1 (one route) and v2alpha1
 * (rules and a default). What rules mean is not looked at here.
 */
#ifndef CONFIG_SUBSCRIPTION_H
#define CONFIG_SUBSCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/resource.h"
#include "config/text_list.h"

struct subscription_pair {
    struct slice name; /* of a rule: what must match */
    struct slice value;
};

struct subscription_document {
    struct slice name;
    struct slice pubsub;
    struct slice topic;
    struct subscription_pair *metadata;
    size_t metadata_count;
    struct subscription_pair *rules; /* match and path, in order */
    size_t rule_count;
    struct slice default_path;
    struct slice dead_letter_topic;
    bool has_bulk;
    bool bulk_enabled;
    int64_t bulk_messages_max; /* 0: not given */
    int64_t bulk_await_ms;
};

struct subscription_list {
    struct subscription_document *items;
    size_t count;
    struct text_list refused; /* names of those that are broken */
};

/* Picks the subscriptions for this application out of `resources`; a broken one is left out with a
 * warning there. Everything delivered lives in `arena`. */
void subscriptions_read(struct arena *arena, struct resources *resources,
                        const struct resource_filter *filter, struct subscription_list *ret_list);

#endif
