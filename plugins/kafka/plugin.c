/* SPDX-License-Identifier: Apache-2.0 */
/* The `kafka` plugin: building blocks on Apache Kafka. Read on in broker.h. */
#include <signal.h>

#include "../shared/transfer.h"
#include "broker.h"

enum { REGISTRY_CONNECTIONS = 16 }; /* to one registry, as in the reference */

static bool
setup(void)
{
    /* OpenSSL writes with write(), to sockets that may be closed at the other end. */
    return signal(SIGPIPE, SIG_IGN) != SIG_ERR && transfer_setup(REGISTRY_CONNECTIONS);
}

static const struct remora_component_type types[] = {
    { .type = "pubsub.kafka",
      .versions = "v1",
      .init = kafka_broker_init,
      .quiesce = kafka_broker_quiesce,
      .close = kafka_broker_close,
      .pubsub = &kafka_broker_ops },
    { .type = "bindings.kafka",
      .versions = "v1",
      .init = kafka_binding_init,
      .quiesce = kafka_broker_quiesce,
      .close = kafka_broker_close,
      .binding = &kafka_binding_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "kafka",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
        .teardown = kafka_brokers_leave,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
