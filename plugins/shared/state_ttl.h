/* SPDX-License-Identifier: Apache-2.0 */
/* The time to live of a save as the reference's SQL stores read it. */
#ifndef PLUGINS_SHARED_STATE_TTL_H
#define PLUGINS_SHARED_STATE_TTL_H

#include <remora_plugin.h>
#include <stdio.h>

enum { STATE_TTL_WHY_BYTES = 240 };

/* False, in the reference's words, if it is none. The kernel has read it if it is a number; what is
 * in the metadata only is not. */
static inline bool
state_ttl_check(const struct remora_state_set *set, char ret_why[STATE_TTL_WHY_BYTES])
{
    struct remora_slice text;
    if (set->has_ttl && set->ttl_seconds < -1) {
        snprintf(ret_why, STATE_TTL_WHY_BYTES,
                 "error parsing TTL: incorrect value for metadata 'ttlInSeconds': must be -1 or "
                 "greater");
        return false;
    }
    if (set->has_ttl ||
        !remora_metadata_get(set->metadata, set->metadata_count, "ttlInSeconds", &text) ||
        text.len == 0)
        return true;
    snprintf(ret_why, STATE_TTL_WHY_BYTES,
             "error parsing TTL: incorrect value for metadata 'ttlInSeconds': strconv.ParseInt: "
             "parsing \"%.*s\": invalid syntax",
             (int)(text.len < 64 ? text.len : 64), text.data);
    return false;
}

#endif
