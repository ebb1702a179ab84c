/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the sidecar over HTTP, to the application and to what has no sidecar, as counted. */
#ifndef TELEMETRY_HTTP_CLIENT_METRICS_H
#define TELEMETRY_HTTP_CLIENT_METRICS_H

#include <stdint.h>

#include "base/arena.h"
#include "telemetry/path_label.h"

struct http_client_sample {
    struct slice method;
    struct slice path; /* without the query */
    int status;        /* 0: there was no answer */
    uint64_t took_ns;
    uint64_t sent_bytes;
    uint64_t received_bytes;
};

void http_client_count(const struct path_rules *rules, struct arena *arena,
                       const struct http_client_sample *sample);

#endif
