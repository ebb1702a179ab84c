/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock store: one configured component of type `lock.redis`. A lock is a string with the owner in
 * it and a time to live, as the reference has it. All on the plugin's thread.
 */
#ifndef REDIS_LOCK_H
#define REDIS_LOCK_H

#include <remora_plugin.h>

extern const struct remora_lock_ops redis_lock_ops;

void redis_lock_init(remora_call *call, const struct remora_config *config);

#endif
