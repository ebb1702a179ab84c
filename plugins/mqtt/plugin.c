/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `mqtt` plugin: pub/sub and a binding on an MQTT 3.1.1 server. Read on in broker.h for the
 * broker, in conn.h for the connection, in packet.h for the protocol.
 */
#include <signal.h>

#include "broker.h"

static bool
setup(void)
{
    /* OpenSSL writes with write(), to sockets that may be closed at the other end. */
    return signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

/* The second is the name the reference had first, and still takes for brokers. */
static const struct remora_component_type types[] = {
    { .type = "pubsub.mqtt3",
      .versions = "v1",
      .init = mqtt_broker_init,
      .start = mqtt_broker_start,
      .quiesce = mqtt_broker_quiesce,
      .close = mqtt_broker_close,
      .pubsub = &mqtt_broker_ops },
    { .type = "pubsub.mqtt",
      .versions = "v1",
      .init = mqtt_broker_init,
      .start = mqtt_broker_start,
      .quiesce = mqtt_broker_quiesce,
      .close = mqtt_broker_close,
      .pubsub = &mqtt_broker_ops },
    { .type = "bindings.mqtt3",
      .versions = "v1",
      .init = mqtt_binding_init,
      .start = mqtt_binding_start,
      .quiesce = mqtt_binding_quiesce,
      .close = mqtt_binding_close,
      .binding = &mqtt_binding_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "mqtt",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
