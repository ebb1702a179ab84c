/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `consul` plugin: name resolution through a Consul agent, under both names that the reference
 * has for it.
 *
 * Reading order: settings.c says what is asked and registered, resolver.c is a component's life and
 * its questions, watch.c keeps answers in memory, agent.c speaks HTTP.
 */
#include "agent.h"
#include "resolver.h"

#define RESOLVER(name)                                                                             \
    {                                                                                              \
        .type = name, .versions = "v1", .init = resolver_init, .start = resolver_start,            \
        .quiesce = resolver_quiesce, .close = resolver_close, .names = &resolver_ops,              \
    }

static const struct remora_component_type types[] = {
    RESOLVER("nameresolution.hashicorp.consul"),
    RESOLVER("nameresolution.consul"),
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "consul",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = agent_setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
