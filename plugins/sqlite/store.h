/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `state.sqlite` component: which database, which tables, and its cleanup.
 */
#ifndef SQLITE_PLUGIN_STORE_H
#define SQLITE_PLUGIN_STORE_H

#include <ev.h>

#include "database.h"

struct store {
    struct store_config config;
    struct database *database;
    ev_timer cleanup;
    bool is_cleaning; /* a cleanup job is on its way and holds this */
    bool is_closed;
};

extern const struct remora_state_ops state_ops;

void store_init(remora_call *call, const struct remora_config *config);
void store_start(remora_call *call, void *self);
void store_close(void *self);

void cleanup_start(struct store *store);
void cleanup_stop(struct store *store);

/* Frees a closed store that no cleanup holds. */
void store_free_if_done(struct store *store);

#endif
