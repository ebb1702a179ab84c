/* SPDX-License-Identifier: Apache-2.0 */
/* Tracing, as main() sets it up: what is sampled, and an exporter on every worker for each
 * collector of the Configuration or the environment. */
#ifndef MAIN_TRACING_H
#define MAIN_TRACING_H

#include "config/tracing.h"
#include "export/exporter.h"
#include "telemetry/tracer.h"

struct runtime;
struct settings;
struct runtime_worker;

struct tracing {
    struct tracer tracer;
    struct exporter_config exporters[SPAN_FORMS];
    size_t exporter_count;
    struct slice sampler_words; /* for the log */
};

/* Before the workers are made. */
void tracing_setup(struct runtime *runtime, const struct tracing_settings *settings);
/* A changed Configuration: sampling and spans in the log take effect with `settings`; collectors
 * are those of the start. */
void tracing_setup_again(struct runtime *runtime, const struct tracing_settings *spec,
                         struct settings *settings);
/* Before the worker starts. */
void tracing_worker_init(struct runtime_worker *worker);
/* Worker thread: sends what is left. */
void tracing_worker_stop(struct runtime_worker *worker);
/* After the worker has ended. */
void tracing_worker_fini(struct runtime_worker *worker);
/* After all workers. */
void tracing_end(struct runtime *runtime);

#endif
