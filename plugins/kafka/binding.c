/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binding: what it is invoked with goes to one topic, and what is read from it are subscriptions
 * to all of its topics, opened and ended together, whose messages are events.
 */
#include <stdlib.h>
#include <string.h>

#include "broker.h"

#define NO_TRACE "00-00000000000000000000000000000000-0000000000000000-00"

void
kafka_binding_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    struct settings settings;
    if (settings_parse_binding(config, &settings, why))
        broker_open(call, settings, REMORA_CAP_INPUT_BINDING | REMORA_CAP_OUTPUT_BINDING);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

/* Metadata become headers; where no trace is, none is told. */
static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    struct broker *broker = self;
    const char *topic = broker->settings.publish_topic;
    if (topic[0] == '\0') {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "kafka error: missing 'publishTopic' attribute");
        return;
    }
    size_t count = 0;
    struct remora_pair *pairs = remora_call_alloc(call,
                                                  (request->metadata_count + 1) * sizeof *pairs);
    struct remora_publish *message = remora_call_alloc(call, sizeof *message);
    for (size_t i = 0; i < request->metadata_count; i++)
        if (!remora_slice_eq(request->metadata[i].name, "traceparent") ||
            !remora_slice_eq(request->metadata[i].value, NO_TRACE))
            pairs[count++] = request->metadata[i];
    *message = (struct remora_publish){ .topic = { topic, strlen(topic) },
                                        .data = request->data,
                                        .has_metadata = count > 0,
                                        .metadata = pairs,
                                        .metadata_count = count };
    broker_publish(call, broker, message);
}

static void
read_topics(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct broker *broker = self;
    const struct settings *settings = &broker->settings;
    if (settings->topic_count == 0) {
        remora_log(REMORA_WARN,
                   "kafka binding: no topic defined, input bindings will not be started");
        remora_reply_ok(call);
        return;
    }
    struct waiting *opening = remora_call_alloc(call, sizeof *opening);
    *opening = (struct waiting){ .call = call };
    broker->events_max = window;
    for (size_t i = 0; i < settings->topic_count; i++) {
        char *topic = strdup(settings->topics[i]);
        if (topic == NULL)
            abort();
        group_add(broker, reading, topic, opening)->out_max = window;
    }
}

static void
stop(remora_call *call, void *self, uint64_t reading)
{
    if (!group_end(self, reading, call))
        remora_reply_ok(call); /* nothing of it is handed over */
}

const struct remora_binding_ops kafka_binding_ops = {
    .operations = "create", .invoke = invoke, .read = read_topics, .stop = stop
};
