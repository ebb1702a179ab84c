/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way to a broker; see publish.h. */
#include "api/publish.h"

#include "api/cloudevent.h"
#include "api/operation.h"
#include "base/clock.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "telemetry/metrics.h"

typedef Remora__Plugin__V1__PubsubPublish publish_t;

/* The last of that name (ASCII case ignored), or empty. */
static struct slice
option_of(const struct pair *pairs, size_t count, struct slice name)
{
    struct slice value = SLICE_EMPTY;
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(pairs[i].name, name))
            value = pairs[i].value;
    return value;
}

/* Whole seconds; anything else is no time to live. */
bool
publish_read_ttl(const struct pair *pairs, size_t count, int64_t *ret_seconds)
{
    struct slice text = option_of(pairs, count, SLICE("ttlInSeconds"));
    uint64_t seconds;
    if (!slice_to_u64(text, &seconds) || seconds == 0 || seconds > INT32_MAX)
        return false;
    *ret_seconds = (int64_t)seconds;
    return true;
}

err_t
publish_allowed(struct request *rq, const struct component *broker, struct slice topic)
{
    if (topic_scopes_may_publish(&broker->facts->scopes, topic))
        return OK;
    return DIAG_FAIL(task_diag(rq->task), ERR_PUBSUB_FORBIDDEN,
                     "topic " SLICE_FMT " is not allowed for app id " SLICE_FMT, SLICE_ARG(topic),
                     SLICE_ARG(rq->kernel->app_id));
}

char *
publish_topic(struct arena *arena, const struct component *broker, struct slice topic)
{
    struct slice prefix = broker->facts->topic_prefix;
    return pb_string(arena, prefix.len == 0 ? topic
                                            : arena_printf(arena, SLICE_FMT SLICE_FMT,
                                                           SLICE_ARG(prefix), SLICE_ARG(topic)));
}

err_t
publish_bytes(struct request *rq, const struct publish_message *message)
{
    publish_t out = REMORA__PLUGIN__V1__PUBSUB_PUBLISH__INIT;
    struct component_call call = { 0 };
    struct component *broker = operation_component(rq, COMPONENT_PUBSUB, message->pubsub);
    if (broker == NULL)
        return DIAG_FAIL(task_diag(rq->task), ERR_PLUGIN_AWAY, "pubsub " SLICE_FMT " is not found",
                         SLICE_ARG(message->pubsub));
    err_t err = publish_allowed(rq, broker, message->topic);
    if (err != OK)
        return err;
    out.topic = publish_topic(rq->arena, broker, message->topic);
    out.content_type = pb_string(rq->arena, message->content_type);
    out.metadata = operation_pack_pairs(rq->arena, message->metadata, message->metadata_count);
    out.n_metadata = message->metadata_count;
    out.has_metadata = message->has_metadata;
    int64_t ttl_s;
    if ((broker->facts->capabilities & CAN_MESSAGE_TTL) != 0 &&
        publish_read_ttl(message->metadata, message->metadata_count, &ttl_s)) {
        out._ttl_seconds_case = REMORA__PLUGIN__V1__PUBSUB_PUBLISH___TTL_SECONDS_TTL_SECONDS;
        out.ttl_seconds = ttl_s;
    }
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_PUBSUB_PUBLISH,
        .is_write = true,
        .message = pb_pack(rq->arena, &out.base),
        .parts = &message->data,
        .part_count = 1
    };
    err = operation_run(rq, broker, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call))
        err = DIAG_FAIL(task_diag(rq->task), err == OK ? ERR_PLUGIN_FAILED : err, SLICE_FMT,
                        SLICE_ARG(operation_reason(rq, err, &call)));
    component_call_finish(rq->task, &call);
    return err;
}

/* --- what a client asks for --------------------------------------------------------------------*/

static err_t
fail_pubsub(struct request *rq, err_t err, struct slice pubsub, const char *words, struct slice a,
            const char *more, struct slice b)
{
    (void)fail(rq, err, "%s" SLICE_FMT "%s" SLICE_FMT, words, SLICE_ARG(a), more, SLICE_ARG(b));
    if (err != ERR_PUBSUB_NOT_FOUND)
        error_add_described_resource(rq, "pubsub", pubsub);
    error_add_empty_info(rq);
    return err;
}

err_t
publish_fail_forbidden(struct request *rq, const struct publish_request *publish)
{
    struct slice words = task_diag(rq->task)->message;
    (void)fail(rq, ERR_PUBSUB_FORBIDDEN, SLICE_FMT, SLICE_ARG(words));
    error_add_described_resource(rq, "pubsub", publish->pubsub);
    error_add_info(rq, "error", words);
    error_add_info(rq, "topic", publish->topic);
    return ERR_PUBSUB_FORBIDDEN;
}

err_t
publish_check(struct request *rq, const struct publish_request *publish,
              struct component **ret_broker, bool *ret_is_raw)
{
    const struct pair *options = publish->metadata;
    struct slice name = publish->pubsub;
    struct slice raw = option_of(options, publish->metadata_count, SLICE("rawPayload"));
    if (raw.len == 0)
        raw = option_of(options, publish->metadata_count, SLICE("isRawPayload"));
    if (name.len == 0)
        return fail_pubsub(rq, ERR_PUBSUB_EMPTY, name, "pubsub name is empty", SLICE_EMPTY, "",
                           SLICE_EMPTY);
    *ret_broker = operation_component(rq, COMPONENT_PUBSUB, name); /* suspends */
    if (*ret_broker == NULL)
        return fail_pubsub(rq, ERR_PUBSUB_NOT_FOUND, name, "pubsub ", name, " is not found",
                           SLICE_EMPTY);
    if (publish->topic.len == 0)
        return fail_pubsub(rq, ERR_TOPIC_NAME_EMPTY, name, "topic is empty in pubsub ", name, "",
                           SLICE_EMPTY);
    *ret_is_raw = false;
    if (raw.len == 0 || slice_to_bool(raw, ret_is_raw))
        return OK;
    (void)fail_pubsub(rq, ERR_PUBSUB_REQUEST_METADATA, name,
                      "failed deserializing metadata. Error: rawPayload value must be a valid "
                      "boolean: actual is '",
                      raw, "'", SLICE_EMPTY);
    error_add_info(rq, "rawPayload", raw);
    return ERR_PUBSUB_REQUEST_METADATA;
}

/* What a client says of its own envelope stands; overrides are for those that we make. */
static err_t
override(struct cloudevent *event, const struct publish_request *publish)
{
    static const char *const names[] = { "id",      "source",      "subject",   "type",
                                         "traceid", "traceparent", "tracestate" };
    const struct slice prefix = SLICE("cloudevent.");
    for (size_t i = 0; i < publish->metadata_count; i++) {
        struct slice name = publish->metadata[i].name;
        if (!slice_has_prefix_nocase(name, prefix))
            continue;
        name = slice_from(name, prefix.len);
        for (size_t j = 0; j < ARRAY_LEN(names); j++)
            if (slice_eq_nocase(name, slice_str(names[j])) &&
                !cloudevent_set_text(event, slice_str(names[j]), publish->metadata[i].value))
                return ERR_MALFORMED;
    }
    /* The older name is one for the same. */
    struct slice parent = option_of(publish->metadata, publish->metadata_count,
                                    SLICE("cloudevent.traceparent"));
    if (parent.len > 0 && !cloudevent_set_text(event, SLICE("traceid"), parent))
        return ERR_MALFORMED;
    return OK;
}

static err_t
wrap(struct request *rq, const struct publish_request *publish, struct cloudevent *event)
{
    const struct cloudevent_origin origin = { .pubsub = publish->pubsub,
                                              .topic = publish->topic,
                                              .source = rq->kernel->app_id,
                                              .traceparent = rq->traceparent,
                                              .tracestate = rq->tracestate,
                                              .now_unix_ms = clock_unix_ms() };
    if (cloudevent_is_type(publish->content_type)) {
        err_t err = cloudevent_read(event, rq->arena, publish->data, task_diag(rq->task));
        if (err == OK)
            cloudevent_complete(event, &origin);
        return err;
    }
    cloudevent_make(event, rq->arena, &origin, publish->content_type, publish->data);
    return override(event, publish);
}

static err_t
fail_envelope(struct request *rq, const struct publish_request *publish)
{
    struct slice words = task_diag(rq->task)->message;
    (void)fail_pubsub(rq, ERR_PUBSUB_CLOUD_EVENTS_SER, publish->pubsub, "cannot create cloudevent",
                      SLICE_EMPTY, "", SLICE_EMPTY);
    error_add_info(rq, "appID", rq->kernel->app_id);
    error_add_info(rq, "error", words);
    return ERR_PUBSUB_CLOUD_EVENTS_SER;
}

err_t
publish_wrap(struct request *rq, const struct publish_request *publish,
             const struct component *broker, struct publish_message *message)
{
    struct cloudevent event;
    int64_t ttl_s;
    err_t err = wrap(rq, publish, &event);
    if (err == OK && publish_read_ttl(publish->metadata, publish->metadata_count, &ttl_s) &&
        (broker->facts->capabilities & CAN_MESSAGE_TTL) == 0 &&
        !cloudevent_expire_at(&event, clock_unix_ms() + ttl_s * 1000))
        err = ERR_MALFORMED;
    if (err != OK)
        return fail_envelope(rq, publish);
    message->data = cloudevent_write(&event);
    message->content_type = CLOUDEVENT_CONTENT_TYPE;
    return OK;
}

static void
count(const struct request *rq, const struct publish_request *publish, bool success,
      uint64_t took_ns)
{
    const struct slice labels[] = { publish->pubsub, rq->kernel->namespace_,
                                    success ? SLICE("true") : SLICE("false"), publish->topic };
    metrics_record(metrics_series(METRICS_component_pubsub_egress, labels), took_ns);
}

err_t
publish_fail(struct request *rq, const struct publish_request *publish, struct slice reason)
{
    return fail_pubsub(rq, ERR_PUBSUB_PUBLISH_MESSAGE, publish->pubsub,
                       "error when publish to topic ", publish->topic, " in pubsub ",
                       arena_printf(rq->arena, SLICE_FMT ": " SLICE_FMT, SLICE_ARG(publish->pubsub),
                                    SLICE_ARG(reason)));
}

err_t
publish_event(struct request *rq, const struct publish_request *publish)
{
    struct publish_message message = { .pubsub = publish->pubsub,
                                       .topic = publish->topic,
                                       .content_type = publish->content_type,
                                       .data = publish->data,
                                       .has_metadata = publish->has_metadata,
                                       .metadata = publish->metadata,
                                       .metadata_count = publish->metadata_count };
    struct component *broker;
    bool is_raw;
    err_t err = publish_check(rq, publish, &broker, &is_raw); /* suspends */
    if (err != OK)
        return err;
    if (!is_raw)
        err = publish_wrap(rq, publish, broker, &message);
    if (err != OK)
        return err;
    uint64_t started_ns = clock_now_ns();
    err = publish_bytes(rq, &message); /* suspends */
    count(rq, publish, err == OK, clock_now_ns() - started_ns);
    if (err == OK)
        return OK;
    if (err == ERR_PUBSUB_FORBIDDEN)
        return publish_fail_forbidden(rq, publish);
    return publish_fail(rq, publish, task_diag(rq->task)->message);
}
