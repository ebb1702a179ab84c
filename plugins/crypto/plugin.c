/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `crypto` plugin: providers whose keys are here, in files or in a set of JWKs.
 *
 * Reading order: provider.c answers the API's operations with a key that localstorage.c or jwks.c
 * finds; parse.c and jwk.c read keys, operate.c, symmetric.c, rsa.c and sign.c use them.
 */
#include "localstorage.h"

static const struct remora_component_type types[] = {
    { .type = "crypto.dapr.localstorage",
      .versions = "v1",
      .init = localstorage_init,
      .close = localstorage_close,
      .crypto = &provider_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "crypto",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
