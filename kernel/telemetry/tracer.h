/* SPDX-License-Identifier: Apache-2.0 */
/* What all spans of the process have in common. Set before the workers start, constant afterwards.
 */
#ifndef TELEMETRY_TRACER_H
#define TELEMETRY_TRACER_H

#include "telemetry/span.h"

/* The library that records, as the reference runtime calls itself. */
#define TRACE_SCOPE_NAME SLICE("dapr-diagnostics")

/* Who records spans, told to collectors with every batch. */
struct trace_resource {
    struct slice service_name;
    const struct span_attribute *attributes; /* beside it */
    size_t attribute_count;
};

struct tracer {
    struct sampler sampler;
    bool is_recording; /* somebody wants spans; else only contexts are made */
    bool logs_spans;   /* a line of the log for each */
};

#endif
