/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `kubernetes` plugin: secrets of a cluster, as its API server has them.
 *
 * Reading order: store.c is a component's life and its questions; of ../shared, cluster.h says
 * where the server is and who we are, cluster_ask.c asks it, cluster_answer.c reads its JSON.
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
    { .type = "secretstores.kubernetes",
      .versions = "v1",
      .init = store_init,
      .close = store_close,
      .secret = &store_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "kubernetes",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
