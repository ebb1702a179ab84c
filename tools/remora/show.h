/* SPDX-License-Identifier: Apache-2.0 */
/* Replies on standard output, for people or as JSON. */
#ifndef REMORA_SHOW_H
#define REMORA_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remora/admin/v1/admin.pb-c.h"

/* `kernel` is NULL if none runs. */
void show_version(const Remora__Admin__V1__Version *kernel, bool as_json);
void show_status(const Remora__Admin__V1__Reply *reply, bool as_json);
void show_components(const Remora__Admin__V1__Reply *reply, bool as_json);
void show_plugins(const Remora__Admin__V1__Reply *reply, bool as_json);
/* The first plugin with its components. */
void show_plugin(const Remora__Admin__V1__Reply *reply, bool as_json);
void show_lines(const Remora__Admin__V1__Reply *reply, bool as_json);
void show_restarted(const Remora__Admin__V1__Reply *reply, bool as_json);
/* A swap that is done. */
void show_swapped(const Remora__Admin__V1__Event *event, bool as_json);
/* "42s", "5m", "3h", "12d": how long ago. */
void show_age(int64_t unix_ms, char ret_text[24]);
/* One line. */
void show_event(const Remora__Admin__V1__Event *event, bool as_json);

#endif
