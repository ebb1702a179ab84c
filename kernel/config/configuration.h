/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files (--config), merged in their order: what a later one sets replaces what an
 * earlier one set. Settings without effect are named for a warning.
 */
#ifndef CONFIG_CONFIGURATION_H
#define CONFIG_CONFIGURATION_H

#include "base/arena.h"
#include "base/err.h"
#include "config/access_control.h"
#include "config/api_rules.h"
#include "config/name_resolution.h"
#include "config/observing.h"
#include "config/pipeline.h"
#include "config/secret_scope.h"
#include "config/text_list.h"
#include "config/tracing.h"

struct configuration {
    struct slice name;        /* of the last file that has one; empty without */
    struct text_list sources; /* the files as they were read, to tell whether they have changed */
    struct secret_scopes secret_scopes;
    bool wants_mtls;                      /* spec.mtls.enabled */
    struct access_spec access_spec;       /* while files are read */
    struct access_control access_control; /* what follows from it */
    struct api_rules api_rules;
    struct pipeline http_pipeline;      /* before the API */
    struct pipeline app_http_pipeline;  /* before the application */
    struct text_list denied_components; /* "state.redis", "state.redis/v1": not to be loaded */
    struct metrics_settings metrics;
    struct api_log_settings api_log;
    struct feature_settings features;
    struct name_resolution names;    /* who finds other sidecars */
    struct tracing_settings tracing; /* without the environment: tracing_settings_finish() */
};

/* ERR_CONFIG with the words of the fatal log line if a file cannot be read or makes no sense. Adds
 * "spec.workflow" and the like to ret_ignored for what has no effect. Lives in the arena. */
err_t configuration_read(struct arena *arena, const struct text_list *files,
                         struct configuration *ret_configuration, struct text_list *ret_ignored,
                         struct diag *diag) WARN_UNUSED;

#endif
