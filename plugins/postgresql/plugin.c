/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `postgresql` plugin: component type `configuration.postgresql`, also
 * `configuration.postgres`. configuration.c reads and watches, session.c has the connection, rows.c
 * what comes from it.
 */
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
