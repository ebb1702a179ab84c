/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `crypto` plugin: providers whose keys are used here, whether they come from files, from a set
 * of JWKs, or from a cluster's secrets.
 *
 * Reading order: provider.c answers the API's operations with a key that localstorage.c, jwks.c or
 * kubernetes.c finds; parse.c, jwk.c and keyset.c read keys, operate.c, symmetric.c, rsa.c and
 * sign.c use them.
 */
#include "jwks.h"
#include "kubernetes.h"
#include "localstorage.h"
#include "../shared/transfer.h"

static const struct remora_component_type types[] = {
    { .type = "crypto.dapr.localstorage",
      .versions = "v1",
      .init = localstorage_init,
      .close = localstorage_close,
      .crypto = &provider_ops },
    { .type = "crypto.dapr.jwks",
      .versions = "v1",
      .init = jwks_init,
      .close = jwks_close,
      .crypto = &provider_ops },
    { .type = "crypto.dapr.kubernetes.secrets",
      .versions = "v1",
      .init = kubernetes_init,
      .close = kubernetes_close,
      .crypto = &provider_ops },
};

static bool
setup(void)
{
    return transfer_setup(0);
}

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "crypto",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
