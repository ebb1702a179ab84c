/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Configuration says of metrics (`spec.metrics`, also spelled `metric`), of the log of API
 * calls (`spec.logging`) and of features that can be turned off (`spec.features`). Later files
 * replace what earlier ones set, field by field.
 */
#ifndef CONFIG_OBSERVING_H
#define CONFIG_OBSERVING_H

#include "base/arena.h"
#include "base/err.h"
#include "config/node.h"
#include "config/text_list.h"

enum { LATENCY_BUCKETS_MAX = 64 };

struct metrics_settings {
    bool is_off;                    /* `enabled: false` */
    bool records_error_codes;       /* `recordErrorCodes` */
    bool has_cardinality;           /* `increasedCardinality` is set, to … */
    bool has_increased_cardinality; /* … */
    bool excludes_verbs;            /* `http.excludeVerbs` */
    struct text_list templates;     /* `http.pathMatching` */
    size_t bucket_count;            /* `latencyDistributionBuckets`; 0: not set */
    uint64_t buckets[LATENCY_BUCKETS_MAX];
};

struct api_log_settings {
    bool has_enabled; /* `logging.apiLogging.enabled` is set, to … */
    bool is_enabled;  /* … */
    bool obfuscates_urls;
    bool omits_health_checks;
};

struct feature_settings {
    struct text_list enabled;
    struct text_list disabled;
};

/* ERR_CONFIG with "spec.metrics.http.excludeVerbs must be a bool" and the like. Adds settings
 * without effect to ret_ignored. */
err_t metrics_settings_read(struct arena *arena, const struct node *node,
                            struct metrics_settings *settings, struct text_list *ret_ignored,
                            struct diag *diag) WARN_UNUSED;
err_t api_log_settings_read(const struct node *node, struct api_log_settings *settings,
                            struct diag *diag) WARN_UNUSED;
err_t feature_settings_read(struct arena *arena, const struct node *node,
                            struct feature_settings *settings, struct diag *diag) WARN_UNUSED;

/* Whether it is named and turned off. */
bool feature_is_off(const struct feature_settings *settings, struct slice name);

#endif
