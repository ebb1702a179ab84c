/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `rabbitmq` plugin: a broker and a binding on RabbitMQ, AMQP 0-9-1. Read on in broker.h for
 * the component, in publisher.h and consumer.h for its two connections, in session.h for their
 * threads.
 */
#include <openssl/crypto.h>
#include <signal.h>

#include "broker.h"

static bool
setup(void)
{
    /* A thread may be inside OpenSSL when the process ends: it is not torn down under it. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return false;
    return signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

static const struct remora_component_type types[] = {
    { .type = "pubsub.rabbitmq",
      .versions = "v1",
      .init = broker_init,
      .quiesce = broker_quiesce,
      .close = broker_close,
      .pubsub = &broker_ops },
    { .type = "bindings.rabbitmq",
      .versions = "v1",
      .init = binding_init,
      .quiesce = broker_quiesce,
      .close = broker_close,
      .binding = &binding_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "rabbitmq",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
