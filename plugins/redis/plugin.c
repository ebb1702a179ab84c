/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `redis` plugin: building blocks on a Redis server. Read on in store.h for the state store, in
 * broker.h for the broker, in lock.h for locks, in configuration.h for configuration, in binding.h
 * for the binding, in conn.h for the connection, in resp.h for the protocol.
 */
#include <signal.h>

#include "binding.h"
#include "broker.h"
#include "client.h"
#include "configuration.h"
#include "lock.h"
#include "store.h"

static bool
setup(void)
{
    /* OpenSSL writes with write(), to sockets that may be closed at the other end. */
    return signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

static const struct remora_component_type types[] = {
    { .type = "state.redis",
      .versions = "v1",
      .init = store_init,
      .close = store_close,
      .state = &store_ops },
    { .type = "pubsub.redis",
      .versions = "v1",
      .init = redis_broker_init,
      .quiesce = redis_broker_quiesce,
      .close = redis_broker_close,
      .pubsub = &redis_broker_ops },
    { .type = "configuration.redis",
      .versions = "v1",
      .init = redis_configuration_init,
      .close = redis_configuration_close,
      .configuration = &redis_configuration_ops },
    { .type = "lock.redis",
      .versions = "v1",
      .init = redis_lock_init,
      .close = client_close,
      .lock = &redis_lock_ops },
    { .type = "bindings.redis",
      .versions = "v1",
      .init = redis_binding_init,
      .close = client_close,
      .binding = &redis_binding_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "redis",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
