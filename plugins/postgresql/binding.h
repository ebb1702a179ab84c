/* SPDX-License-Identifier: Apache-2.0 */
/* One component of type `bindings.postgresql`: statements of the application. Plugin thread only.
 */
#ifndef POSTGRESQL_BINDING_H
#define POSTGRESQL_BINDING_H

#include <remora_plugin.h>

void binding_init(remora_call *call, const struct remora_config *config);
void binding_close(void *self);

extern const struct remora_binding_ops binding_ops;

#endif
