/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `state.mysql` component: which server, which tables, and its cleanup.
 */
#ifndef MYSQL_PLUGIN_STORE_H
#define MYSQL_PLUGIN_STORE_H

#include <ev.h>

#include "pool.h"
#include "table.h"

struct store {
    struct settings settings; /* without what the pool has taken */
    struct pool *pool;
    struct table table;
    int64_t timeout_ms;
    ev_timer cleanup;
    bool is_cleaning; /* a cleanup job is on its way and holds this */
    bool is_closed;
};

extern const struct remora_state_ops state_ops;

void store_init(remora_call *call, const struct remora_config *config);
void store_start(remora_call *call, void *self);
void store_close(void *self);

#endif
