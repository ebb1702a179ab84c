/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One component of type `secretstores.kubernetes`. Nothing is kept: each question goes to the API
 * server. All on the plugin's thread.
 */
#ifndef KUBERNETES_PLUGIN_STORE_H
#define KUBERNETES_PLUGIN_STORE_H

#include <remora_plugin.h>

extern const struct remora_secret_ops store_ops;

void store_init(remora_call *call, const struct remora_config *config);
void store_close(void *self);

#endif
