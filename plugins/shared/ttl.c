/* SPDX-License-Identifier: Apache-2.0 */
/* Times to live; see ttl.h. */
#include "ttl.h"

#include <stdio.h>

enum { SHOWN_BYTES = 64 };

bool
ttl_of(const struct remora_pair *pairs, size_t count, int64_t *ret_ms, char *why, size_t why_bytes)
{
    struct remora_slice text;
    int64_t number;
    *ret_ms = -1;
    if ((!remora_metadata_get(pairs, count, "ttl", &text) || text.len == 0) &&
        (!remora_metadata_get(pairs, count, "ttlInSeconds", &text) || text.len == 0))
        return true;
    if (remora_parse_i64(text, &number)) {
        if (number <= 0) {
            (void)snprintf(why, why_bytes, "ttl value must be higher than zero: actual is '%lld'",
                           (long long)number);
            return false;
        }
        *ret_ms = number > TTL_MS_MAX / 1000 ? TTL_MS_MAX : number * 1000;
        return true;
    }
    if (!remora_parse_duration_ms(text, &number)) {
        (void)snprintf(why, why_bytes, "ttl value must be a valid integer: actual is '%.*s'",
                       text.len > SHOWN_BYTES ? SHOWN_BYTES : (int)text.len, text.data);
        return false;
    }
    *ret_ms = number < 0 ? 0 : number > TTL_MS_MAX ? TTL_MS_MAX : number;
    return true;
}
