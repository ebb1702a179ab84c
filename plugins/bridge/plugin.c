/* SPDX-License-Identifier: Apache-2.0 */
/* Pluggable components of Dapr, each behind a socket of a folder, as components of this sidecar. */
#include "binding.h"
#include "remote.h"
#include "pubsub.h"
#include "secrets.h"
#include "state.h"

static void
init_state(remora_call *call, const struct remora_config *config)
{
    remote_init(call, config, &kind_state);
}

static void
init_secrets(remora_call *call, const struct remora_config *config)
{
    remote_init(call, config, &kind_secrets);
}

static void
init_pubsub(remora_call *call, const struct remora_config *config)
{
    remote_init(call, config, &kind_pubsub);
}

static void
init_binding(remora_call *call, const struct remora_config *config)
{
    remote_init(call, config, &kind_binding);
}

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "state.*",
          .versions = "v1,v0",
          .init = init_state,
          .close = remote_close,
          .state = &state_ops },
        { .type = "secretstores.*",
          .versions = "v1,v0",
          .init = init_secrets,
          .close = remote_close,
          .secret = &secret_ops },
        { .type = "pubsub.*",
          .versions = "v1,v0",
          .init = init_pubsub,
          .start = pubsub_start,
          .quiesce = pubsub_quiesce,
          .close = remote_close,
          .pubsub = &pubsub_ops },
        { .type = "bindings.*",
          .versions = "v1,v0",
          .init = init_binding,
          .quiesce = binding_quiesce,
          .close = remote_close,
          .binding = &binding_ops },
    };
    static const struct remora_plugin plugin = {
        .name = "bridge",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
