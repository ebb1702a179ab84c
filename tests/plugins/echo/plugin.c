/* SPDX-License-Identifier: Apache-2.0 */
/* test.echo: a type that does nothing, so that the SDK's own echo methods can be reached. */
#include <remora_plugin.h>

static void
echo_init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    remora_reply_init(call, NULL, 0, 0);
}

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "test.echo", .versions = "v1", .init = echo_init },
    };
    static const struct remora_plugin plugin = {
        .name = "echo",
        .version = "1.0.0",
        .types = types,
        .type_count = 1,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
