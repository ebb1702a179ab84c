/* SPDX-License-Identifier: Apache-2.0 */
/* bindings.http: an HTTP endpoint, called. */
#include <stdlib.h>

#include "../shared/transfer.h"
#include "exchange.h"

static bool
setup(void)
{
    return transfer_setup(0);
}

static void
init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES];
    struct settings *settings = calloc(1, sizeof *settings);
    if (settings == NULL)
        abort();
    if (settings_read(config, settings, error)) {
        remora_reply_init(call, settings, REMORA_CAP_OUTPUT_BINDING, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
    free(settings);
}

static void
close_settings(void *self)
{
    settings_fini(self);
    free(self);
}

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    exchange_start(call, self, request);
}

static const struct remora_binding_ops ops = {
    .operations = "create,get,head,post,put,patch,delete,options,trace",
    .invoke = invoke,
};

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "bindings.http",
          .versions = "v1",
          .init = init,
          .close = close_settings,
          .binding = &ops },
    };
    static const struct remora_plugin plugin = {
        .name = "http",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
