/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component of type `nameresolution.sqlite`: sidecars that share a file find each other in it.
 */
#ifndef SQLITE_PLUGIN_NAMES_H
#define SQLITE_PLUGIN_NAMES_H

#include <remora_plugin.h>

extern const struct remora_name_ops names_ops;

void names_init(remora_call *call, const struct remora_config *config);
void names_start(remora_call *call, void *self);
void names_quiesce(remora_call *call, void *self);
void names_close(void *self);

#endif
