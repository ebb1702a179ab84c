/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings behind sockets, of either direction or both. */
#ifndef BRIDGE_BINDING_H
#define BRIDGE_BINDING_H

#include <remora_plugin.h>

extern const struct remora_binding_ops binding_ops;
void binding_quiesce(remora_call *call, void *self);

#endif
