/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a worker's spans to one collector: OTLP over HTTP or gRPC, or Zipkin's JSON. A span waits
 * for others, then a task sends the batch and ends; without spans there is no task and no
 * connection. What a collector cannot take now is sent again for a while, what it does not take at
 * all is counted and dropped: requests never wait for any of it.
 *
 * One exporter for each worker and collector; its configuration is shared. Worker thread only, or
 * before it starts.
 */
#ifndef EXPORT_EXPORTER_H
#define EXPORT_EXPORTER_H

#include "async/worker.h"
#include "http/client.h"
#include "telemetry/span_queue.h"

enum exporter_kind { EXPORTER_OTLP_HTTP, EXPORTER_OTLP_GRPC, EXPORTER_ZIPKIN };

/* Borrowed as long as the exporter. */
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
    struct timer timer;    /* the oldest span has waited enough; when retired: no more time */
    struct task *task;     /* sends; NULL: there is none */
    struct wait pause;     /* before an attempt is repeated */
    struct list link;      /* for whoever has retired it; unlinked once it is gone */
    uint64_t until_ms;     /* retired: has time until then */
    bool is_pausing;
    bool is_retired;  /* no span comes any more: it is gone when those it has are */
    bool is_stopping; /* retired, and nothing is sent a second time */
    bool has_failed;  /* and the log says so */
    void (*on_end)(void *arg);
    void *arg;
};

/* `on_end(arg)` is called when it is gone: the configuration is of no use to it any more. */
struct exporter *exporter_new(struct worker *worker, const struct exporter_config *config,
                              void (*on_end)(void *arg), void *arg);
/* Gets no more spans: sends what is left as ever, though at once, for LIMIT_trace_retired_ms at
 * most, and is gone; that may be so on return. */
void exporter_retire(struct exporter *exporter);
/* Sends what is left, for LIMIT_trace_flush_ms at most, and is gone; one that is retired may be
 * stopped. A task is left until then, which keeps the worker running. */
void exporter_stop(struct exporter *exporter);
/* Sends nothing more. For one that is retired, outside of its task. */
void exporter_give_up(struct exporter *exporter);

#endif
