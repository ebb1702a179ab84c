/* SPDX-License-Identifier: Apache-2.0 */
/* Tracing, as a Configuration and the environment ask for it: what is sampled and who collects. */
#ifndef MAIN_TRACING_H
#define MAIN_TRACING_H

#include "api/settings.h"
#include "config/tracing.h"

struct runtime;

/* Fills in the settings' part, before they come in force. Where the same collectors are asked for
 * as by the settings that are in force, their exporters go on as they are. */
void tracing_setup(const struct runtime *runtime, const struct tracing_settings *spec,
                   struct settings *settings);
/* Says what is sampled. */
void tracing_log(const struct settings *settings);

#endif
