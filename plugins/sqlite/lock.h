/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `lock.sqlite` component: each question is a write of the database's writer thread, answered
 * when it is on the disk. Plugin thread only, except what a job's comment hands to the writer.
 */
#ifndef SQLITE_PLUGIN_LOCK_H
#define SQLITE_PLUGIN_LOCK_H

#include <remora_plugin.h>

extern const struct remora_lock_ops lock_ops;

void lock_init(remora_call *call, const struct remora_config *config);
void lock_close(void *self);

#endif
