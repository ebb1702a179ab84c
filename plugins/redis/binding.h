/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binding: one configured component of type `bindings.redis`, which is invoked and not read from.
 * A key is a plain string, as the reference has it. All on the plugin's thread.
 */
#ifndef REDIS_BINDING_H
#define REDIS_BINDING_H

#include <remora_plugin.h>

extern const struct remora_binding_ops redis_binding_ops;

void redis_binding_init(remora_call *call, const struct remora_config *config);

#endif
