/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of tracing become a tracer and collectors; see tracing.h. */
#include "main/tracing.h"

#include "base/log.h"
#include "http/tls.h"
#include "main/runtime.h"

/* --- collectors --------------------------------------------------------------------------------*/

static struct exporter_config *
add_collector(struct collectors *collectors, enum exporter_kind kind,
              const struct tracing_endpoint *endpoint, const struct tls_config *from)
{
    struct exporter_config *item = &collectors->items[collectors->count++];
    struct tls_config tls = *from;
    tls.verifies = true; /* who is asked for securely must prove itself */
    tls.server_name = endpoint->host;
    *item = (struct exporter_config){
        .kind = kind,
        .host = arena_dup(&collectors->arena, endpoint->host),
        .port = endpoint->port,
        .path = arena_dup(&collectors->arena, endpoint->path),
        .tls = endpoint->is_secure ? tls_context_new(&tls) : NULL,
        .resource = &collectors->resource,
    };
    return item;
}

static const struct http_header *
headers_of(struct arena *arena, const struct tracing_pairs *pairs)
{
    struct http_header *headers = ARENA_ARRAY(arena, struct http_header, pairs->count + 1);
    for (size_t i = 0; i < pairs->count; i++)
        headers[i] = (struct http_header){ arena_dup(arena, pairs->items[i].name),
                                           arena_dup(arena, pairs->items[i].value) };
    return headers;
}

static const struct span_attribute *
attributes_of(struct arena *arena, const struct tracing_pairs *pairs)
{
    struct span_attribute *attributes = ARENA_ARRAY(arena, struct span_attribute, pairs->count + 1);
    for (size_t i = 0; i < pairs->count; i++)
        attributes[i] = (struct span_attribute){ arena_dup(arena, pairs->items[i].name),
                                                 arena_dup(arena, pairs->items[i].value) };
    return attributes;
}

static void
add_otlp(struct collectors *collectors, const struct tracing_settings *spec)
{
    bool is_grpc = spec->protocol == OTLP_GRPC;
    const struct tls_config tls = { .ca = spec->otel_authorities,
                                    .cert = spec->otel_certificate,
                                    .key = spec->otel_key,
                                    .alpn = is_grpc ? SLICE("h2") : SLICE("http/1.1") };
    struct exporter_config *otlp = add_collector(
        collectors, is_grpc ? EXPORTER_OTLP_GRPC : EXPORTER_OTLP_HTTP, &spec->otel, &tls);
    otlp->headers = headers_of(&collectors->arena, &spec->otel_headers);
    otlp->header_count = spec->otel_headers.count;
    otlp->timeout_ms = spec->otel_timeout_ms;
}

/* NULL: there are none. */
static struct collectors *
make_collectors(const struct runtime *runtime, const struct tracing_settings *spec)
{
    if (!spec->otel.is_set && !spec->zipkin.is_set)
        return NULL;
    struct collectors *collectors = collectors_new();
    struct slice service = spec->service_name.len > 0 ? spec->service_name : runtime->kernel.app_id;
    collectors->resource = (struct trace_resource){
        .service_name = arena_dup(&collectors->arena, service),
        .attributes = attributes_of(&collectors->arena, &spec->resource),
        .attribute_count = spec->resource.count,
    };
    if (spec->otel.is_set)
        add_otlp(collectors, spec);
    if (spec->zipkin.is_set)
        (void)add_collector(collectors, EXPORTER_ZIPKIN, &spec->zipkin, /* needs nothing more */
                            &(struct tls_config){ .alpn = SLICE("http/1.1") });
    for (size_t i = 0; i < collectors->count; i++)
        collectors->items[i].delay_ms = spec->delay_ms;
    return collectors;
}

/* --- what has changed --------------------------------------------------------------------------*/

static bool
same_endpoint(const struct tracing_endpoint *a, const struct tracing_endpoint *b)
{
    return a->is_set == b->is_set &&
           (!a->is_set || (a->is_secure == b->is_secure && a->port == b->port &&
                           slice_eq(a->host, b->host) && slice_eq(a->path, b->path)));
}

static bool
same_pairs(const struct tracing_pairs *a, const struct tracing_pairs *b)
{
    bool is_same = a->count == b->count;
    for (size_t i = 0; is_same && i < a->count; i++)
        is_same = slice_eq(a->items[i].name, b->items[i].name) &&
                  slice_eq(a->items[i].value, b->items[i].value);
    return is_same;
}

/* Certificates, the resource and the delay are the environment's, which stays as it is, unless the
 * one OTLP endpoint is the environment's and the other is not: then certificates count. */
static bool
same_collectors(const struct tracing_settings *a, const struct tracing_settings *b)
{
    return same_endpoint(&a->otel, &b->otel) && same_endpoint(&a->zipkin, &b->zipkin) &&
           a->protocol == b->protocol && a->otel_timeout_ms == b->otel_timeout_ms &&
           same_pairs(&a->otel_headers, &b->otel_headers) &&
           slice_eq(a->otel_authorities, b->otel_authorities) &&
           slice_eq(a->otel_certificate, b->otel_certificate) && slice_eq(a->otel_key, b->otel_key);
}

/* --- the whole ---------------------------------------------------------------------------------*/

static struct slice
words_of(struct arena *arena, const struct tracing_settings *spec)
{
    if (!spec->follows_parent)
        return spec->sampler_words;
    return arena_printf(
        arena,
        "ParentBased{root:" SLICE_FMT
        ",remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,"
        "localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}",
        SLICE_ARG(spec->sampler_words));
}

static void
set_collectors(const struct runtime *runtime, const struct tracing_settings *spec,
               struct settings *settings)
{
    const struct settings *present = runtime->settings;
    if (present != NULL && same_collectors(spec, &runtime->configuration.tracing)) {
        settings->collectors = collectors_ref(present->collectors);
        return;
    }
    settings->collectors = make_collectors(runtime, spec);
    if (present != NULL)
        log_info("dapr.runtime.trace", "spans go to other collectors from now on");
}

void
tracing_setup(const struct runtime *runtime, const struct tracing_settings *spec,
              struct settings *settings)
{
    settings->sampler_words = words_of(&settings->arena, spec);
    set_collectors(runtime, spec, settings);
    if (!tracing_is_on(spec))
        return;
    struct tracer *tracer = ARENA_NEW(&settings->arena, struct tracer);
    *tracer = (struct tracer){
        .sampler = sampler_ratio(spec->ratio, spec->follows_parent),
        .is_recording = spec->logs_spans || settings->collectors != NULL,
        .logs_spans = spec->logs_spans,
    };
    settings->tracer = tracer;
}

void
tracing_log(const struct settings *settings)
{
    log_info("dapr.runtime", "Dapr trace sampler initialized: " SLICE_FMT,
             SLICE_ARG(settings->sampler_words));
}
