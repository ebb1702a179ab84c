/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binding: the broker of one queue. What it is invoked with goes there through the server's own
 * exchange, what is read from it is a subscription whose messages are events.
 */
#include "broker.h"

void
binding_init(remora_call *call, const struct remora_config *config)
{
    char why[WHY_BYTES];
    struct settings settings;
    if (settings_init_binding(&settings, config, why))
        broker_open(call, settings, REMORA_CAP_INPUT_BINDING | REMORA_CAP_OUTPUT_BINDING);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

static bool
is_read(const struct broker *broker)
{
    const struct intake *intake = broker->intakes;
    while (intake != NULL && !(intake->is_open && !intake->is_stopping))
        intake = intake->next;
    return intake != NULL;
}

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    struct broker *broker = self;
    char why[WHY_BYTES];
    const struct remora_publish message = { .topic = { "", 0 },
                                            .data = request->data,
                                            .has_metadata = request->metadata_count > 0,
                                            .metadata = request->metadata,
                                            .metadata_count = request->metadata_count };
    if (broker->settings.is_exclusive && !is_read(broker)) { /* there is no such queue */
        remora_reply_error(call, REMORA_FAILED_PRECONDITION,
                           ERROR_PREFIX "queue %s is exclusive, and is not being read",
                           broker->settings.shown, broker->settings.queue);
        return;
    }
    broker_send(broker, call, letter_new(&broker->settings, call, &message, NULL, 0, why), why);
}

const struct remora_binding_ops binding_ops = {
    .operations = "create", .invoke = invoke, .read = broker_read, .stop = broker_stop
};
