/* SPDX-License-Identifier: Apache-2.0 */
/* Health, metadata and shutdown over HTTP. */
#include "api/metadata.h"
#include "api/subscription.h"
#include "base/limits.h"
#include "config/duration.h"
#include "http/query.h"
#include "surface/http_surface.h"

enum { DESCRIPTION_BYTES_MAX = 64 * 1024 * 1024 };

void
http_health(struct http_call *call)
{
    struct slice app_id;
    if (query_get(call->x->query, call->rq.arena, SLICE("appid"), &app_id) &&
        !slice_eq(app_id, call->rq.kernel->app_id)) {
        (void)fail(&call->rq, ERR_HEALTH_APPID_NOT_MATCH, "dapr app-id does not match");
        http_fail(call);
    } else if (!atomic_load_explicit(&call->rq.kernel->is_ready, memory_order_relaxed)) {
        struct kernel *kernel = call->rq.kernel;
        bool is_outbound = atomic_load_explicit(&kernel->is_outbound_ready, memory_order_relaxed);
        (void)fail(&call->rq, ERR_HEALTH_NOT_READY, "dapr is not ready: [%s]",
                   !is_outbound                         ? "components"
                   : !control_is_ready(kernel->control) ? "control plane"
                                                        : "app");
        http_fail(call);
    } else {
        http_no_content(call);
    }
}

void
http_health_outbound(struct http_call *call)
{
    if (!atomic_load_explicit(&call->rq.kernel->is_outbound_ready, memory_order_relaxed)) {
        (void)fail(&call->rq, ERR_OUTBOUND_HEALTH_NOT_READY, "dapr outbound is not ready");
        http_fail(call);
        return;
    }
    http_no_content(call);
}

void
http_shutdown(struct http_call *call)
{
    struct slice force = http_header_get(call->x, SLICE("dapr-force-shutdown"));
    bool is_forced = false;
    if (force.data != NULL && !slice_to_bool(force, &is_forced))
        is_forced = false;
    http_no_content(call);
    call->rq.kernel->shutdown(call->rq.kernel, is_forced);
}

void
http_metadata_set(struct http_call *call)
{
    struct slice value;
    if (!http_read_body(call, &value))
        return;
    if (metadata_set(&call->rq, call->params[0], value) == OK)
        http_no_content(call);
    else
        http_fail(call);
}

static void
put_extended(struct http_json_writer *writer)
{
    struct request *rq = &writer->call->rq;
    struct pair *pairs;
    size_t count;
    bool has_version = false;
    metadata_list(rq, &pairs, &count);
    http_json_put(writer, SLICE(",\"extended\":{"));
    for (size_t i = 0; i <= count; i++) {
        /* The version stands among the others in byte order, unless a client has set it. */
        const struct slice version = SLICE("daprRuntimeVersion");
        if (!has_version && (i == count || slice_cmp(pairs[i].name, version) >= 0)) {
            has_version = true;
            if (i == count || !slice_eq(pairs[i].name, version)) {
                if (i > 0)
                    http_json_put(writer, SLICE(","));
                http_json_put_string(writer, version);
                http_json_put(writer, SLICE(":"));
                http_json_put_string(writer, rq->kernel->version);
                if (i < count)
                    http_json_put(writer, SLICE(","));
            }
        } else if (i > 0 && i < count) {
            http_json_put(writer, SLICE(","));
        }
        if (i == count)
            break;
        http_json_put_string(writer, pairs[i].name);
        http_json_put(writer, SLICE(":"));
        http_json_put_string(writer, pairs[i].value);
    }
    http_json_put(writer, SLICE("}"));
}

static void
put_features(struct http_json_writer *writer)
{
    const struct text_list *features = &settings_of(writer->call->rq.task)->enabled_features;
    if (features->count == 0)
        return;
    for (size_t i = 0; i < features->count; i++) {
        http_json_put(writer, i == 0 ? SLICE(",\"enabledFeatures\":[") : SLICE(","));
        http_json_put_string(writer, features->items[i]);
    }
    http_json_put(writer, SLICE("]"));
}

/* `,"key":[{"name":…},…]`; nothing if there are none. */
static void
put_names(struct http_json_writer *writer, const char *key, struct text_list names)
{
    for (size_t i = 0; i < names.count; i++) {
        http_json_put(writer,
                      i == 0 ? arena_printf(writer->call->rq.arena, ",\"%s\":[", key) : SLICE(","));
        http_json_put(writer, SLICE("{\"name\":"));
        http_json_put_string(writer, names.items[i]);
        http_json_put(writer, SLICE("}"));
    }
    if (names.count > 0)
        http_json_put(writer, SLICE("]"));
}

static void
put_app_health(struct http_json_writer *writer, const struct app_settings *settings)
{
    char interval[DURATION_TEXT_BYTES], timeout[DURATION_TEXT_BYTES];
    int64_t interval_ns = (int64_t)settings->health_interval_ms * DURATION_MS_NS;
    int64_t timeout_ns = (int64_t)settings->health_timeout_ms * DURATION_MS_NS;
    http_json_put(writer, SLICE(",\"health\":{"));
    if (!app_is_grpc(settings->protocol)) {
        http_json_put(writer, SLICE("\"healthCheckPath\":"));
        http_json_put_string(writer, settings->health_path);
        http_json_put(writer, SLICE(","));
    }
    http_json_put(writer, arena_printf(writer->call->rq.arena,
                                       "\"healthProbeInterval\":\"" SLICE_FMT
                                       "\",\"healthProbeTimeout\":\"" SLICE_FMT
                                       "\",\"healthThreshold\":%u}",
                                       SLICE_ARG(duration_print(interval_ns, interval)),
                                       SLICE_ARG(duration_print(timeout_ns, timeout)),
                                       settings->health_threshold));
}

static void
put_app(struct http_json_writer *writer)
{
    const struct app_properties *app = &writer->call->rq.kernel->app;
    http_json_put(writer, SLICE(",\"appConnectionProperties\":{"));
    if (app->port != 0)
        http_json_put(writer, arena_printf(writer->call->rq.arena, "\"port\":%u,", app->port));
    http_json_put(writer, SLICE("\"protocol\":"));
    http_json_put_string(writer, app->protocol);
    http_json_put(writer, SLICE(",\"channelAddress\":"));
    http_json_put_string(writer, app->channel_address);
    const struct app_settings *settings = app_settings(
        kernel_worker_of(writer->call->rq.task)->app.app);
    if (settings->concurrency_max > 0)
        http_json_put(writer, arena_printf(writer->call->rq.arena, ",\"maxConcurrency\":%lld",
                                           (long long)settings->concurrency_max));
    if (settings->checks_health)
        put_app_health(writer, settings);
    http_json_put(writer, SLICE("}"));
}

static void
put_control(struct http_json_writer *writer)
{
    const struct request *rq = &writer->call->rq;
    struct control_status status = control_status(rq->kernel->control, rq->arena);
    http_json_put(writer, SLICE(",\"actorRuntime\":{\"runtimeStatus\":"));
    http_json_put_string(writer, status.has_placement ? SLICE("RUNNING") : SLICE("DISABLED"));
    http_json_put(writer, status.is_placed ? SLICE(",\"hostReady\":true,\"placement\":")
                                           : SLICE(",\"hostReady\":false,\"placement\":"));
    http_json_put_string(writer, metadata_placement(&status));
    http_json_put(writer, SLICE("}"));
    if (!status.has_scheduler)
        return;
    http_json_put(writer, SLICE(",\"scheduler\":{\"connected_addresses\":["));
    for (size_t i = 0; i < status.connected_count; i++) {
        if (i > 0)
            http_json_put(writer, SLICE(","));
        http_json_put_string(writer, status.connected[i]);
    }
    http_json_put(writer, SLICE("]}"));
}

static void
put_pairs(struct http_json_writer *writer, const struct pair *pairs, size_t count)
{
    http_json_put(writer, SLICE(",\"metadata\":{"));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            http_json_put(writer, SLICE(","));
        http_json_put_string(writer, pairs[i].name);
        http_json_put(writer, SLICE(":"));
        http_json_put_string(writer, pairs[i].value);
    }
    http_json_put(writer, SLICE("}"));
}

static void
put_topic(struct http_json_writer *writer, const struct topic_spec *spec)
{
    static const char *const kinds[] = { [TOPIC_DECLARATIVE] = "DECLARATIVE",
                                         [TOPIC_PROGRAMMATIC] = "PROGRAMMATIC",
                                         [TOPIC_STREAMING] = "STREAMING" };
    http_json_put(writer, SLICE("{\"pubsubname\":"));
    http_json_put_string(writer, spec->pubsub);
    http_json_put(writer, SLICE(",\"topic\":"));
    http_json_put_string(writer, spec->topic);
    if (spec->metadata_count > 0)
        put_pairs(writer, spec->metadata, spec->metadata_count);
    http_json_put(writer, SLICE(",\"rules\":["));
    for (size_t i = 0; i < spec->rule_count; i++) {
        http_json_put(writer, i > 0 ? SLICE(",{") : SLICE("{"));
        if (spec->rules[i].match.len > 0) {
            http_json_put(writer, SLICE("\"match\":"));
            http_json_put_string(writer, spec->rules[i].match);
            http_json_put(writer, SLICE(","));
        }
        http_json_put(writer, SLICE("\"path\":"));
        http_json_put_string(writer, spec->rules[i].path);
        http_json_put(writer, SLICE("}"));
    }
    http_json_put(writer, SLICE("],\"deadLetterTopic\":"));
    http_json_put_string(writer, spec->dead_letter_topic);
    http_json_put(writer, SLICE(",\"type\":"));
    http_json_put_string(writer, slice_str(kinds[spec->kind]));
    http_json_put(writer, SLICE("}"));
}

static void
put_topics(struct http_json_writer *writer, const struct topic_spec *const *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        http_json_put(writer, i == 0 ? SLICE(",\"subscriptions\":[") : SLICE(","));
        put_topic(writer, specs[i]);
    }
    if (count > 0)
        http_json_put(writer, SLICE("]"));
}

void
http_metadata_get(struct http_call *call)
{
    struct request *rq = &call->rq;
    struct buf components, details;
    const struct topic_spec *const *topics;
    size_t topic_count = metadata_topics(rq, &topics); /* suspends */
    buf_init(&components, DESCRIPTION_BYTES_MAX);
    buf_init(&details, DESCRIPTION_BYTES_MAX);
    if (rq->kernel->describe(rq, &components, &details) != OK) {
        http_fail(call);
    } else {
        struct http_json_writer writer;
        http_json_writer_init(&writer, call);
        http_json_put(&writer, SLICE("{\"id\":"));
        http_json_put_string(&writer, rq->kernel->app_id);
        http_json_put(&writer, SLICE(",\"runtimeVersion\":"));
        http_json_put_string(&writer, rq->kernel->version);
        put_features(&writer);
        if (components.len > 0) {
            http_json_put(&writer, SLICE(",\"components\":["));
            http_json_put(&writer, buf_slice(&components));
            http_json_put(&writer, SLICE("]"));
        }
        put_extended(&writer);
        put_topics(&writer, topics, topic_count);
        put_names(&writer, "httpEndpoints", metadata_endpoints(rq));
        put_app(&writer);
        put_control(&writer);
        put_names(&writer, "resiliencies", metadata_resiliencies(rq));
        http_json_put(&writer, SLICE(",\"remora\":{"));
        http_json_put(&writer, buf_slice(&details));
        http_json_put(&writer, SLICE("}}\n"));
        http_json_writer_end(&writer);
    }
    buf_fini(&components);
    buf_fini(&details);
}
