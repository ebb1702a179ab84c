/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `configuration.sqlite` component: a table that others write, and those who watch it. Changes
 * are numbered by the table's triggers, so that a watcher only has to remember how far it has come:
 * nothing is gathered, and nothing is missed while the sidecar or the file is not there.
 *
 * Everything is read on one thread, in order, so that values never go back. Plugin thread only.
 */
#ifndef SQLITE_PLUGIN_CONFIGURATION_H
#define SQLITE_PLUGIN_CONFIGURATION_H

#include <remora_plugin.h>

void configuration_init(remora_call *call, const struct remora_config *config);
void configuration_start(remora_call *call, void *self);
void configuration_quiesce(remora_call *call, void *self);
void configuration_close(void *self);

extern const struct remora_configuration_ops configuration_ops;

#endif
