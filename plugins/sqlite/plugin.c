/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `sqlite` plugin: component types `state.sqlite`, `pubsub.sqlite`, `lock.sqlite`,
 * `configuration.sqlite`, `nameresolution.sqlite`.
 *
 * Reading order: state.c turns operations into jobs, worker.c hands them to a database thread,
 * group.c commits many writes at once, row.c is the SQL of one row, scan.c and query.c are reads of
 * many; database.c decides which components share what, store.c is a component's life. names.c is
 * the resolver, host.c the SQL of its rows. pubsub.c is a broker, subscriber.c one subscription,
 * topic.c the SQL of both. lock.c is a lock store, lease.c the SQL and the clock of its rows.
 * configuration.c is a store of configuration and who watches it, items.c the SQL of that.
 */
#include <malloc.h>

#include "configuration.h"
#include "lock.h"
#include "names.h"
#include "pubsub.h"
#include "store.h"

enum { MALLOC_ARENAS = 2 }; /* one for the loop, one for all database threads */

static bool
setup(void)
{
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    return true;
}

static const struct remora_component_type types[] = {
    {
        .type = "state.sqlite",
        .versions = "v1",
        .init = store_init,
        .start = store_start,
        .close = store_close,
        .state = &state_ops,
    },
    {
        .type = "nameresolution.sqlite",
        .versions = "v1",
        .init = names_init,
        .start = names_start,
        .quiesce = names_quiesce,
        .close = names_close,
        .names = &names_ops,
    },
    {
        .type = "configuration.sqlite",
        .versions = "v1",
        .init = configuration_init,
        .start = configuration_start,
        .quiesce = configuration_quiesce,
        .close = configuration_close,
        .configuration = &configuration_ops,
    },
    {
        .type = "pubsub.sqlite",
        .versions = "v1",
        .init = pubsub_init,
        .start = pubsub_start,
        .quiesce = pubsub_quiesce,
        .close = pubsub_close,
        .pubsub = &pubsub_ops,
    },
    {
        .type = "lock.sqlite",
        .versions = "v1",
        .init = lock_init,
        .close = lock_close,
        .lock = &lock_ops,
    },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "sqlite",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof(types) / sizeof(types[0]),
        .setup = setup,
        .turn_end = database_flush_all,
        .teardown = database_stop_all,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
