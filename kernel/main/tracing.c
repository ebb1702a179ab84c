/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of tracing become a tracer and exporters; see tracing.h. */
#include "main/tracing.h"

#include "base/log.h"
#include "http/tls.h"
#include "main/runtime.h"

static struct exporter_config *
add_exporter(struct runtime *runtime, enum exporter_kind kind,
             const struct tracing_endpoint *endpoint)
{
    struct tracing *tracing = &runtime->tracing;
    struct exporter_config *exporter = &tracing->exporters[tracing->exporter_count++];
    *exporter = (struct exporter_config){ .kind = kind,
                                          .host = endpoint->host,
                                          .port = endpoint->port,
                                          .path = endpoint->path,
                                          .resource = &tracing->tracer.resource };
    return exporter;
}

/* A collector that is asked for securely must prove itself. */
static struct tls_context *
tls_of(const struct tracing_endpoint *endpoint, const struct tls_config *from)
{
    struct tls_config config = *from;
    config.verifies = true;
    config.server_name = endpoint->host;
    return endpoint->is_secure ? tls_context_new(&config) : NULL;
}

static const struct http_header *
headers_of(struct arena *arena, const struct tracing_pairs *pairs)
{
    struct http_header *headers = ARENA_ARRAY(arena, struct http_header, pairs->count + 1);
    for (size_t i = 0; i < pairs->count; i++)
        headers[i] = (struct http_header){ pairs->items[i].name, pairs->items[i].value };
    return headers;
}

static const struct span_attribute *
attributes_of(struct arena *arena, const struct tracing_pairs *pairs)
{
    struct span_attribute *attributes = ARENA_ARRAY(arena, struct span_attribute, pairs->count + 1);
    for (size_t i = 0; i < pairs->count; i++)
        attributes[i] = (struct span_attribute){ pairs->items[i].name, pairs->items[i].value };
    return attributes;
}

static struct slice
words_of(struct arena *arena, const struct tracing_settings *settings)
{
    if (!settings->follows_parent)
        return settings->sampler_words;
    return arena_printf(
        arena,
        "ParentBased{root:" SLICE_FMT
        ",remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,"
        "localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}",
        SLICE_ARG(settings->sampler_words));
}

void
tracing_setup(struct runtime *runtime, const struct tracing_settings *settings)
{
    struct tracing *tracing = &runtime->tracing;
    struct tracer *tracer = &tracing->tracer;
    tracing->sampler_words = words_of(&runtime->arena, settings);
    if (!tracing_is_on(settings))
        return;
    *tracer = (struct tracer){
        .sampler = sampler_ratio(settings->ratio, settings->follows_parent),
        .resource = { .service_name = settings->service_name.len > 0 ? settings->service_name
                                                                     : runtime->kernel.app_id,
                      .attributes = attributes_of(&runtime->arena, &settings->resource),
                      .attribute_count = settings->resource.count },
        .logs_spans = settings->logs_spans,
    };
    if (settings->otel.is_set) {
        struct exporter_config *otlp = add_exporter(
            runtime, settings->protocol == OTLP_GRPC ? EXPORTER_OTLP_GRPC : EXPORTER_OTLP_HTTP,
            &settings->otel);
        otlp->headers = headers_of(&runtime->arena, &settings->otel_headers);
        otlp->header_count = settings->otel_headers.count;
        otlp->timeout_ms = settings->otel_timeout_ms;
        otlp->tls = tls_of(&settings->otel,
                           &(struct tls_config){ .ca = settings->otel_authorities,
                                                 .cert = settings->otel_certificate,
                                                 .key = settings->otel_key,
                                                 .alpn = settings->protocol == OTLP_GRPC
                                                             ? SLICE("h2")
                                                             : SLICE("http/1.1") });
    }
    if (settings->zipkin.is_set) {
        struct exporter_config *zipkin = add_exporter(runtime, EXPORTER_ZIPKIN, &settings->zipkin);
        zipkin->tls = tls_of(&settings->zipkin, &(struct tls_config){ .alpn = SLICE("http/1.1") });
    }
    for (size_t i = 0; i < tracing->exporter_count; i++)
        tracing->exporters[i].delay_ms = settings->delay_ms;
    tracer->is_recording = tracer->logs_spans || tracing->exporter_count > 0;
    runtime->settings->tracer = tracer;
}

static bool
same_collectors(const struct tracing_settings *a, const struct tracing_settings *b)
{
    return slice_eq(a->otel_address, b->otel_address) &&
           slice_eq(a->otel_protocol, b->otel_protocol) &&
           a->otel_is_insecure == b->otel_is_insecure && slice_eq(a->zipkin.host, b->zipkin.host) &&
           a->zipkin.port == b->zipkin.port && slice_eq(a->zipkin.path, b->zipkin.path);
}

void
tracing_setup_again(struct runtime *runtime, const struct tracing_settings *spec,
                    struct settings *settings)
{
    const struct tracing *tracing = &runtime->tracing;
    if (!same_collectors(spec, &runtime->configuration.tracing))
        log_warn("dapr.runtime.trace",
                 "other collectors of spans take effect at the next start, going on with those of "
                 "this one");
    if (!tracing_is_on(spec))
        return;
    struct tracer *tracer = ARENA_NEW(&settings->arena, struct tracer);
    *tracer = (struct tracer){
        .sampler = sampler_ratio(spec->ratio, spec->follows_parent),
        .resource = tracing->tracer.resource,
        .is_recording = spec->logs_spans || tracing->exporter_count > 0,
        .logs_spans = spec->logs_spans,
    };
    settings->tracer = tracer;
    log_info("dapr.runtime", "Dapr trace sampler initialized: " SLICE_FMT,
             SLICE_ARG(words_of(&settings->arena, spec)));
}

void
tracing_worker_init(struct runtime_worker *worker)
{
    const struct tracing *tracing = &worker->runtime->tracing;
    struct kernel_worker *here = &worker->kernel_worker;
    for (size_t i = 0; i < tracing->exporter_count; i++) {
        exporter_init(&worker->exporters[i], &here->worker, &tracing->exporters[i]);
        here->span_queues[i] = &worker->exporters[i].queue;
    }
    here->span_queue_count = tracing->exporter_count;
}

void
tracing_worker_stop(struct runtime_worker *worker)
{
    for (size_t i = 0; i < worker->kernel_worker.span_queue_count; i++)
        exporter_stop(&worker->exporters[i]);
}

void
tracing_worker_fini(struct runtime_worker *worker)
{
    for (size_t i = 0; i < worker->kernel_worker.span_queue_count; i++)
        exporter_fini(&worker->exporters[i]);
}

void
tracing_end(struct runtime *runtime)
{
    struct tracing *tracing = &runtime->tracing;
    for (size_t i = 0; i < tracing->exporter_count; i++)
        tls_context_unref(tracing->exporters[i].tls);
}
