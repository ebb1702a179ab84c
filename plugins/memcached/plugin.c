/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `memcached` plugin: component type `state.memcached`.
 *
 * Reading order: store.c turns operations into requests, server.c has a connection and what waits
 * for its answers, answer.c is the protocol.
 */
#include "server.h"
#include "store.h"

static const struct remora_component_type types[] = {
    {
        .type = "state.memcached",
        .versions = "v1",
        .init = store_init,
        .close = store_close,
        .state = &state_ops,
    },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "memcached",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof(types) / sizeof(types[0]),
        .turn_end = server_flush_all,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
