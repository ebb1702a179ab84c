/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `vault` plugin: secrets of a HashiCorp Vault server's key/value engine, version 2.
 *
 * Reading order: settings.c is the metadata, store.c a component's life and its questions, answer.c
 * what the server's JSON says; ../shared/fetch.c speaks HTTP.
 */
#include "../shared/transfer.h"
#include "store.h"

enum { CONNECTIONS_MAX = 32 };

static bool
setup(void)
{
    return transfer_setup(CONNECTIONS_MAX);
}

static const struct remora_component_type types[] = {
    { .type = "secretstores.hashicorp.vault",
      .versions = "v1",
      .init = store_init,
      .close = store_close,
      .secret = &store_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "vault",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
