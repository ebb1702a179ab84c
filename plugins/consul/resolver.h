/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component of type `nameresolution.hashicorp.consul`.
 */
#ifndef CONSUL_PLUGIN_RESOLVER_H
#define CONSUL_PLUGIN_RESOLVER_H

#include <remora_plugin.h>

extern const struct remora_name_ops resolver_ops;

void resolver_init(remora_call *call, const struct remora_config *config);
void resolver_start(remora_call *call, void *self);
void resolver_quiesce(remora_call *call, void *self);
void resolver_close(void *self);

#endif
