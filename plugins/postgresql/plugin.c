/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `postgresql` plugin: state, bindings and configuration on a PostgreSQL server. Read on in
 * store.h for the state stores, in binding.c for the binding, in pool.h for their connections, in
 * configuration.c for configuration, which has a connection of its own (session.c).
 */
#include "binding.h"
#include "configuration.h"
#include "store.h"

static const struct remora_component_type types[] = {
    {
        .type = "state.postgresql",
        .versions = "v1,v2",
        .init = store_init,
        .close = store_close,
        .state = &store_ops,
    },
    {
        .type = "bindings.postgresql",
        .versions = "v1",
        .init = binding_init,
        .close = binding_close,
        .binding = &binding_ops,
    },
    {
        .type = "bindings.postgres",
        .versions = "v1",
        .init = binding_init,
        .close = binding_close,
        .binding = &binding_ops,
    },
    {
        .type = "configuration.postgresql",
        .versions = "v1",
        .init = configuration_init,
        .close = configuration_close,
        .configuration = &configuration_ops,
    },
    {
        .type = "configuration.postgres",
        .versions = "v1",
        .init = configuration_init,
        .close = configuration_close,
        .configuration = &configuration_ops,
    },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "postgresql",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
