/* SPDX-License-Identifier: Apache-2.0 */
/* What a traceparent must look like; what does not is as good as none. */
#include "surface/trace.h"

enum { TRACESTATE_BYTES_MAX = 512 };

static bool
is_hex_lower(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.data[i] >= '0' && s.data[i] <= '9') || (s.data[i] >= 'a' && s.data[i] <= 'f')))
            return false;
    return true;
}

static bool
is_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] != '0')
            return false;
    return true;
}

/* W3C Trace Context, version 00. */
static bool
is_traceparent(struct slice s)
{
    if (s.data == NULL || s.len != 55 || s.data[2] != '-' || s.data[35] != '-' || s.data[52] != '-')
        return false;
    struct slice version = slice_first(s, 2), trace = slice_of(s.data + 3, 32);
    struct slice span = slice_of(s.data + 36, 16), flags = slice_of(s.data + 53, 2);
    return slice_eq(version, SLICE("00")) && is_hex_lower(trace) && is_hex_lower(span) &&
           is_hex_lower(flags) && !is_zero(trace) && !is_zero(span);
}

void
trace_take(struct request *rq, struct slice parent, struct slice state)
{
    if (!is_traceparent(parent))
        return;
    rq->traceparent = parent;
    rq->tracestate = state.data == NULL || state.len > TRACESTATE_BYTES_MAX ? SLICE_EMPTY : state;
}
