/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics and the log of API calls, as main() sets them up. */
#ifndef MAIN_OBSERVE_H
#define MAIN_OBSERVE_H

#include "api/request.h"
#include "component/host.h"
#include "config/configuration.h"

struct runtime;
struct runtime_worker;

/* Fills in what follows from the Configuration and the command line; logs what is used. */
void observe_setup(struct runtime *runtime, const struct configuration *configuration,
                   struct settings *settings);
/* The worker counts from its first turn on. */
void observe_worker(struct runtime_worker *worker);

/* struct kernel's `sample`. */
void observe_sample(struct request *rq, struct metric_samples *samples);

/* Main thread: something is in another state. */
void observe_plugin(const struct plugin *plugin, enum plugin_state from);
void observe_component(const struct host_component *component);

#endif
