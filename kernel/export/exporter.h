/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a worker's spans to one collector: OTLP over HTTP or gRPC, or Zipkin's JSON. A span waits
 * for others, then a task sends the batch and ends; without spans there is no task and no
 * connection. What a collector cannot take now is sent again for a while, what it does not take at
 * all is counted and dropped: requests never wait for any of it.
 *
 * One exporter for each worker and collector; its configuration is shared. Worker thread only,
 * except where it is said.
 */
#ifndef EXPORT_EXPORTER_H
#define EXPORT_EXPORTER_H

#include "async/worker.h"
#include "http/client.h"
#include "telemetry/span_queue.h"

enum exporter_kind { EXPORTER_OTLP_HTTP, EXPORTER_OTLP_GRPC, EXPORTER_ZIPKIN };

/* Borrowed as long as the exporters. */
struct exporter_config {
    enum exporter_kind kind;
    struct slice host;
    uint16_t port;
    struct slice path;                 /* of HTTP; gRPC's is fixed */
    struct tls_context *tls;           /* NULL: plain text */
    const struct http_header *headers; /* of the user, with every request; values are secret */
    size_t header_count;
    uint64_t timeout_ms; /* of one attempt; 0: the default */
    uint64_t delay_ms;   /* a span waits so long at most; 0: the default */
    const struct trace_resource *resource;
};

struct exporter {
    const struct exporter_config *config;
    struct worker *worker;
    struct span_queue queue;
    struct client *client; /* NULL: not needed yet */
    struct timer timer;    /* the oldest span has waited enough; when stopping: no more time */
    struct task *task;     /* sends; NULL: there is none */
    struct wait pause;     /* before an attempt is repeated */
    bool is_pausing;
    bool is_stopping;
    bool has_failed; /* and the log says so */
};

/* Before the worker starts. */
void exporter_init(struct exporter *exporter, struct worker *worker,
                   const struct exporter_config *config);
/* Sends what is left, for LIMIT_trace_flush_ms at most, and nothing afterwards. A task is left
 * until then, which keeps the worker running. */
void exporter_stop(struct exporter *exporter);
/* After the worker has ended. */
void exporter_fini(struct exporter *exporter);

/* --- between exporter.c and attempt.c ----------------------------------------------------------*/

struct attempt {
    bool is_ok;
    bool may_repeat;
    uint64_t pause_ms;  /* asked for by the collector; 0: it did not say */
    uint64_t refused;   /* of the spans, for good, by one that is ok */
    struct slice words; /* of a failure, in the task's arena */
};

/* The body of a request: what stands around a batch is put there. */
struct slice exporter_body(const struct exporter_config *config, struct arena *arena,
                           const struct span_batch *batch);
/* Suspends. */
struct attempt exporter_attempt(struct task *t, struct exporter *exporter, struct slice body);

/* Seconds of Retry-After; 0 for a date, or for nonsense. */
uint64_t retry_after_ms(struct slice value);
/* The delay of a google.rpc.RetryInfo in packed details; false: there is none. */
bool retry_info_ms(struct slice details, uint64_t *ret_ms) WARN_UNUSED;

#endif
