/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `state.memcached` component.
 */
#ifndef MEMCACHED_PLUGIN_STORE_H
#define MEMCACHED_PLUGIN_STORE_H

#include <remora_plugin.h>

extern const struct remora_state_ops state_ops;

void store_init(remora_call *call, const struct remora_config *config);
void store_close(void *self);

#endif
