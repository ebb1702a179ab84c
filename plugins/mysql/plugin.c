/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `mysql` plugin: component type `state.mysql`, on libmariadb, which speaks to MariaDB and
 * MySQL.
 *
 * Reading order: state.c turns operations into jobs, pool.c hands them to threads with a connection
 * each (session.c), write.c, rows.c and keys.c are the SQL, table.c makes and clears
 * the tables; store.c is a component's life, settings.c and dsn.c its metadata.
 */
#include <malloc.h>

#include "store.h"

enum { MALLOC_ARENAS = 2 }; /* one for the loop, one for all threads */

static bool
setup(void)
{
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    return mysql_library_init(0, NULL, NULL) == 0;
}

static const struct remora_component_type types[] = {
    {
        .type = "state.mysql",
        .versions = "v1",
        .init = store_init,
        .start = store_start,
        .close = store_close,
        .state = &state_ops,
    },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "mysql",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof(types) / sizeof(types[0]),
        .setup = setup,
        .teardown = pool_stop_all,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
