/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that arrives in pieces: counting, limits, and the credit that goes back. */
#include "sdk.h"

#include <assert.h>

enum inbound_result
inbound_init(struct inbound *in, const struct frame *first)
{
    *in = (struct inbound){ .message_bytes = first->message_bytes,
                            .total = first->payload_bytes,
                            .open_ended = first->open_ended };
    buf_init(&in->bytes, SDK_CALL_BYTES_MAX);
    if (!in->open_ended && in->total > SDK_CALL_BYTES_MAX)
        return INBOUND_TOO_LARGE;
    return INBOUND_OK;
}

void
inbound_fini(struct inbound *in)
{
    sdk.held_bytes -= in->budget;
    in->budget = 0;
    buf_fini(&in->bytes);
}

enum inbound_result
inbound_count(struct inbound *in, size_t bytes)
{
    in->received += bytes;
    in->outstanding += bytes;
    if (in->is_complete || in->outstanding > sdk.link.call_credit)
        return INBOUND_VIOLATION;
    if (!in->open_ended && in->received > in->total)
        return INBOUND_VIOLATION;
    in->is_complete = !in->open_ended && in->received == in->total;
    return INBOUND_OK;
}

enum inbound_result
inbound_keep(struct inbound *in, struct slice payload)
{
    /* A known total is reserved at once: untouched memory costs nothing, copies would. */
    const size_t wanted = in->open_ended || in->bytes.data != NULL ? payload.len
                                                                   : (size_t)in->total;
    const uint64_t budget = in->bytes.data == NULL ? wanted : in->bytes.len + payload.len;
    if (budget > in->budget) {
        if (sdk.held_bytes - in->budget + budget > SDK_TOTAL_BYTES_MAX)
            return INBOUND_TOO_LARGE;
        sdk.held_bytes += budget - in->budget;
        in->budget = budget;
    }
    if (buf_reserve(&in->bytes, wanted) == NULL || !buf_append(&in->bytes, payload))
        return INBOUND_TOO_LARGE;
    return INBOUND_OK;
}

/* The sender needs credit only while more is to come than it may still send. */
static bool
is_credit_due(const struct inbound *in)
{
    const uint64_t window = sdk.link.call_credit;
    if (in->is_complete || in->taken < window / 4)
        return false;
    return in->open_ended || in->total - in->received > window - in->outstanding;
}

void
inbound_take(struct exchange *exchange, uint64_t bytes)
{
    struct inbound *in = &exchange->in;
    in->taken += bytes;
    assert(in->taken <= in->outstanding);
    if (!is_credit_due(in))
        return;
    link_append(
        &(struct frame){ .kind = FRAME_CREDIT, .call = exchange->id, .credit_bytes = in->taken },
        NULL, 0);
    in->outstanding -= in->taken;
    in->taken = 0;
}
