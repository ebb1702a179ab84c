/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binding: a broker that publishes and one that reads, each with a session of its own as in the
 * reference, and each connected when it is first needed. A reading that ends is no UNSUBSCRIBE: the
 * server goes on keeping what comes.
 */
#include <stdlib.h>
#include <string.h>

#include "broker.h"

struct binding {
    struct broker *publisher, *reader; /* owned */
    bool is_reading;
    remora_call *stopping, *quiescing; /* to be answered, or NULL */
};

/* --- life --------------------------------------------------------------------------------------*/

static struct broker *
make(const struct remora_config *config, enum settings_side side, char why[SETTINGS_WHY_BYTES])
{
    struct settings settings;
    if (!settings_parse_binding(config, side, &settings, why))
        return NULL;
    return broker_make(settings, why);
}

void
mqtt_binding_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    struct broker *publisher = make(config, SETTINGS_PRODUCER, why);
    struct broker *reader = publisher == NULL ? NULL : make(config, SETTINGS_CONSUMER, why);
    struct binding *binding = calloc(1, sizeof *binding);
    if (binding == NULL)
        abort();
    if (reader == NULL) {
        if (publisher != NULL)
            mqtt_broker_close(publisher);
        free(binding);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return;
    }
    reader->has_events = true;
    *binding = (struct binding){ .publisher = publisher, .reader = reader };
    remora_reply_init(call, binding, REMORA_CAP_INPUT_BINDING | REMORA_CAP_OUTPUT_BINDING, 0);
}

/* After `quiesce`, what was read is read again: the next generation is not coming. */
void
mqtt_binding_start(remora_call *call, void *self)
{
    struct binding *binding = self;
    remora_call *quiescing = binding->quiescing;
    binding->quiescing = NULL;
    if (quiescing != NULL)
        remora_reply_error(quiescing, REMORA_CANCELLED, "it is to go on");
    if (!binding->is_reading)
        remora_reply_ok(call);
    else
        mqtt_broker_start(call, binding->reader);
}

static void
on_rested(void *arg)
{
    struct binding *binding = arg;
    remora_call *stopping = binding->stopping, *quiescing = binding->quiescing;
    if (stopping != NULL && broker_is_at_rest(binding->reader)) {
        binding->stopping = NULL;
        remora_reply_ok(stopping);
    }
    if (quiescing != NULL && broker_is_at_rest(binding->reader) &&
        broker_is_at_rest(binding->publisher)) {
        binding->quiescing = NULL;
        remora_reply_ok(quiescing);
    }
}

void
mqtt_binding_quiesce(remora_call *call, void *self)
{
    struct binding *binding = self;
    uint64_t left_ms = remora_call_time_left_ms(call);
    binding->quiescing = call;
    broker_rest(binding->reader, left_ms, on_rested, binding);
    broker_rest(binding->publisher, left_ms, on_rested, binding);
}

static void
reply_if_any(remora_call *call)
{
    if (call != NULL)
        remora_reply_ok(call);
}

void
mqtt_binding_close(void *self)
{
    struct binding *binding = self;
    reply_if_any(binding->stopping);
    reply_if_any(binding->quiescing);
    mqtt_broker_close(binding->reader);
    mqtt_broker_close(binding->publisher);
    free(binding);
}

/* --- operations --------------------------------------------------------------------------------*/

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    struct binding *binding = self;
    struct broker *publisher = binding->publisher;
    struct remora_slice topic;
    struct remora_publish *message = remora_call_alloc(call, sizeof *message);
    if (!remora_metadata_get(request->metadata, request->metadata_count, "topic", &topic) ||
        topic.len == 0)
        topic = (struct remora_slice){ publisher->settings.topic,
                                       strlen(publisher->settings.topic) };
    *message = (struct remora_publish){ .topic = topic, .data = request->data };
    if (publisher->conn == NULL)
        broker_go_on(publisher);
    broker_publish(call, publisher, message);
}

static void
read_topic(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct binding *binding = self;
    struct broker *reader = binding->reader;
    const struct remora_subscription wanted = { .id = reading,
                                                .topic = { reader->settings.topic,
                                                           strlen(reader->settings.topic) },
                                                .window = window };
    if ((binding->is_reading && reader->intakes != NULL) || reader->rested != NULL) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "the subscription is already active");
        return;
    }
    broker_forget(reader);
    broker_go_on(reader);
    binding->is_reading = true;
    broker_subscribe(call, reader, &wanted);
}

static void
stop(remora_call *call, void *self, uint64_t reading)
{
    struct binding *binding = self;
    const struct intake *intake = binding->reader->intakes;
    if (!binding->is_reading || binding->stopping != NULL ||
        (intake != NULL && intake->id != reading)) {
        remora_reply_ok(call); /* nothing of it is handed over */
        return;
    }
    binding->is_reading = false;
    binding->stopping = call;
    broker_rest(binding->reader, remora_call_time_left_ms(call), on_rested, binding);
}

const struct remora_binding_ops mqtt_binding_ops = {
    .operations = "create", .invoke = invoke, .read = read_topic, .stop = stop
};
