/* SPDX-License-Identifier: Apache-2.0 */
/* One `configuration.postgresql` component and its subscriptions. Plugin thread only. */
#ifndef POSTGRESQL_CONFIGURATION_H
#define POSTGRESQL_CONFIGURATION_H

#include <remora_plugin.h>

void configuration_init(remora_call *call, const struct remora_config *config);
void configuration_close(void *self);

extern const struct remora_configuration_ops configuration_ops;

#endif
