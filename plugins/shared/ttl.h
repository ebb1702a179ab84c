/* SPDX-License-Identifier: Apache-2.0 */
/* A time to live in metadata, in the reference's forms and with its words of refusal. */
#ifndef PLUGINS_SHARED_TTL_H
#define PLUGINS_SHARED_TTL_H

#include <remora_plugin.h>

#define TTL_MS_MAX (INT64_C(100) * 365 * 24 * 3600 * 1000)

/* Seconds or a duration. False: `why`. Without one in `pairs`, *ret_ms is -1. */
bool
ttl_of(const struct remora_pair *pairs, size_t count, int64_t *ret_ms, char *why, size_t why_bytes);

#endif
