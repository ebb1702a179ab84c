/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files (--config). This version acts on none of their settings; it reads them to
 * refuse those that protect something (mutual TLS, access control, allow lists, secret scopes,
 * middleware) instead of running without them, and to name the others for a warning.
 */
#ifndef CONFIG_CONFIGURATION_H
#define CONFIG_CONFIGURATION_H

#include "base/arena.h"
#include "base/err.h"
#include "config/text_list.h"

/* ERR_CONFIG with the words of the fatal log line if a file cannot be read or asks for protection.
 * Adds "spec.tracing" and the like to ret_ignored for what has no effect. */
err_t configuration_check(struct arena *arena, const struct text_list *files,
                          struct text_list *ret_ignored, struct diag *diag) WARN_UNUSED;

#endif
