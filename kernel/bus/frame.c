/* SPDX-License-Identifier: Apache-2.0 */
/* Writes and reads the envelope of the plugin contract; see frame.h. */
#include "bus/frame.h"

#include <assert.h>

#include "base/wire.h"
#include "bus/sp.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define SAME_KIND(name)                                                                            \
    _Static_assert((int)FRAME_##name == (int)REMORA__PLUGIN__V1__KIND__KIND_##name, #name)
SAME_KIND(HELLO);
SAME_KIND(HELLO_ACK);
SAME_KIND(REQUEST);
SAME_KIND(RESPONSE);
SAME_KIND(DATA);
SAME_KIND(END);
SAME_KIND(CREDIT);
SAME_KIND(CANCEL);
SAME_KIND(EVENT);
SAME_KIND(LOG);

/* Field numbers of Frame and Status in plugin.proto. */
enum field {
    FIELD_KIND = 1,
    FIELD_CALL = 2,
    FIELD_EPOCH = 3,
    FIELD_METHOD = 4,
    FIELD_COMPONENT = 5,
    FIELD_TIMEOUT_MS = 6,
    FIELD_REQUEST_ID = 7,
    FIELD_TRACEPARENT = 8,
    FIELD_TRACESTATE = 9,
    FIELD_DEPTH = 10,
    FIELD_MESSAGE_BYTES = 11,
    FIELD_PAYLOAD_BYTES = 12,
    FIELD_OPEN_ENDED = 13,
    FIELD_PAYLOAD = 14,
    FIELD_CREDIT_BYTES = 15,
    FIELD_STATUS = 16,
};
enum status_field { STATUS_CODE = 1, STATUS_MESSAGE = 2, STATUS_REASON = 3, STATUS_EFFECT = 4 };

enum {
    /* The numbers, tags and lengths of an envelope: 11 numbers of at most 12 bytes, 5 heads of byte
     * strings of at most 7, and the status with 2 numbers and 2 heads. */
    FIXED_BYTES_MAX = SP_HEADER_BYTES + 11 * 12 + 5 * 7 + 4 * 7,
};
_Static_assert(FIXED_BYTES_MAX + FRAME_REQUEST_ID_MAX + FRAME_TRACEPARENT_MAX +
                       FRAME_TRACESTATE_MAX + FRAME_STATUS_MESSAGE_MAX + FRAME_STATUS_REASON_MAX <=
                   FRAME_OVERHEAD_MAX,
               "FRAME_OVERHEAD_MAX is an upper bound");

/* --- writing -----------------------------------------------------------------------------------*/

static char *
put_status(char *at, const struct frame_status *status)
{
    size_t len = wire_number_len(STATUS_CODE, status->code) +
                 wire_bytes_len(STATUS_MESSAGE, status->message) +
                 wire_bytes_len(STATUS_REASON, status->reason) +
                 wire_number_len(STATUS_EFFECT, status->effect);
    at = wire_put_head(at, FIELD_STATUS, len);
    at = wire_put_number(at, STATUS_CODE, status->code);
    at = wire_put_bytes(at, STATUS_MESSAGE, status->message);
    at = wire_put_bytes(at, STATUS_REASON, status->reason);
    return wire_put_number(at, STATUS_EFFECT, status->effect);
}

static bool
has_lawful_strings(const struct frame *frame)
{
    return frame->request_id.len <= FRAME_REQUEST_ID_MAX &&
           frame->traceparent.len <= FRAME_TRACEPARENT_MAX &&
           frame->tracestate.len <= FRAME_TRACESTATE_MAX &&
           (!frame->has_status || (frame->status.message.len <= FRAME_STATUS_MESSAGE_MAX &&
                                   frame->status.reason.len <= FRAME_STATUS_REASON_MAX));
}

/* Most frames of a busy link have no strings but the payload. */
static size_t
strings_bytes(const struct frame *frame)
{
    size_t bytes = frame->request_id.len + frame->traceparent.len + frame->tracestate.len;
    return frame->has_status ? bytes + frame->status.message.len + frame->status.reason.len : bytes;
}

static char *
put_frame(char *at, const struct frame *frame, const struct slice *parts, size_t part_count)
{
    at = wire_put_number(at, FIELD_KIND, frame->kind);
    at = wire_put_number(at, FIELD_CALL, frame->call);
    at = wire_put_number(at, FIELD_EPOCH, frame->epoch);
    at = wire_put_number(at, FIELD_METHOD, frame->method);
    at = wire_put_number(at, FIELD_COMPONENT, frame->component);
    at = wire_put_number(at, FIELD_TIMEOUT_MS, frame->timeout_ms);
    at = wire_put_bytes(at, FIELD_REQUEST_ID, frame->request_id);
    at = wire_put_bytes(at, FIELD_TRACEPARENT, frame->traceparent);
    at = wire_put_bytes(at, FIELD_TRACESTATE, frame->tracestate);
    at = wire_put_number(at, FIELD_DEPTH, frame->depth);
    at = wire_put_number(at, FIELD_MESSAGE_BYTES, frame->message_bytes);
    at = wire_put_number(at, FIELD_PAYLOAD_BYTES, frame->payload_bytes);
    at = wire_put_number(at, FIELD_OPEN_ENDED, frame->open_ended);
    size_t payload_len = 0;
    for (size_t i = 0; i < part_count; i++)
        payload_len += parts[i].len;
    if (payload_len > 0)
        at = wire_put_head(at, FIELD_PAYLOAD, payload_len);
    for (size_t i = 0; i < part_count; i++)
        at = wire_put_raw(at, parts[i]);
    at = wire_put_number(at, FIELD_CREDIT_BYTES, frame->credit_bytes);
    return frame->has_status ? put_status(at, &frame->status) : at;
}

bool
frame_append(struct buf *out, const struct frame *frame, const struct slice *parts,
             size_t part_count)
{
    if (part_count == 0) {
        parts = &frame->payload;
        part_count = 1;
    }
    size_t bytes_max = FIXED_BYTES_MAX + strings_bytes(frame);
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].len > LIMIT_frame_bytes_max)
            return false;
        bytes_max += parts[i].len;
    }
    if (!has_lawful_strings(frame) || bytes_max > LIMIT_frame_bytes_max + FRAME_OVERHEAD_MAX)
        return false;
    char *start = buf_reserve(out, bytes_max);
    if (start == NULL)
        return false;
    char *end = put_frame(start + SP_HEADER_BYTES, frame, parts, part_count);
    size_t bytes = (size_t)(end - start);
    assert(bytes <= bytes_max);
    if (bytes - SP_HEADER_BYTES > LIMIT_frame_bytes_max)
        return false;
    sp_header(bytes - SP_HEADER_BYTES, start);
    buf_commit(out, bytes);
    return true;
}

/* --- reading -----------------------------------------------------------------------------------*/

static void
get_status_field(struct wire_reader *r, const struct wire_field *f, struct frame_status *status)
{
    switch (f->field) {
    case STATUS_CODE:
        status->code = (uint32_t)wire_number(r, f);
        break;
    case STATUS_MESSAGE:
        status->message = wire_bytes(r, f);
        break;
    case STATUS_REASON:
        status->reason = wire_bytes(r, f);
        break;
    case STATUS_EFFECT:
        status->effect = (uint32_t)wire_number(r, f);
        break;
    default:
        break;
    }
}

static bool
get_status(struct frame *frame, struct slice bytes)
{
    if (frame->has_status)
        return false;
    struct frame_status status = { .message = SLICE_EMPTY, .reason = SLICE_EMPTY };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f))
        get_status_field(&r, &f, &status);
    frame->has_status = true;
    frame->status = status;
    return !r.is_bad;
}

static void
get_frame_field(struct wire_reader *r, const struct wire_field *f, struct frame *frame)
{
    switch (f->field) {
    case FIELD_KIND:
        frame->kind = (uint32_t)wire_number(r, f);
        break;
    case FIELD_CALL:
        frame->call = wire_number(r, f);
        break;
    case FIELD_EPOCH:
        frame->epoch = (uint32_t)wire_number(r, f);
        break;
    case FIELD_METHOD:
        frame->method = (uint32_t)wire_number(r, f);
        break;
    case FIELD_COMPONENT:
        frame->component = (uint32_t)wire_number(r, f);
        break;
    case FIELD_TIMEOUT_MS:
        frame->timeout_ms = wire_number(r, f);
        break;
    case FIELD_REQUEST_ID:
        frame->request_id = wire_bytes(r, f);
        break;
    case FIELD_TRACEPARENT:
        frame->traceparent = wire_bytes(r, f);
        break;
    case FIELD_TRACESTATE:
        frame->tracestate = wire_bytes(r, f);
        break;
    case FIELD_DEPTH:
        frame->depth = (uint32_t)wire_number(r, f);
        break;
    case FIELD_MESSAGE_BYTES:
        frame->message_bytes = (uint32_t)wire_number(r, f);
        break;
    case FIELD_PAYLOAD_BYTES:
        frame->payload_bytes = wire_number(r, f);
        break;
    case FIELD_OPEN_ENDED:
        frame->open_ended = wire_number(r, f) != 0;
        break;
    case FIELD_PAYLOAD:
        frame->payload = wire_bytes(r, f);
        break;
    case FIELD_CREDIT_BYTES:
        frame->credit_bytes = wire_number(r, f);
        break;
    case FIELD_STATUS:
        r->is_bad = r->is_bad || !get_status(frame, wire_bytes(r, f));
        break;
    default:
        break;
    }
}

err_t
frame_decode(struct slice message, struct frame *ret_frame)
{
    struct frame frame = { .request_id = SLICE_EMPTY,
                           .traceparent = SLICE_EMPTY,
                           .tracestate = SLICE_EMPTY,
                           .payload = SLICE_EMPTY,
                           .status = { .message = SLICE_EMPTY, .reason = SLICE_EMPTY } };
    struct wire_reader r = wire_reader(message);
    struct wire_field f;
    while (wire_next(&r, &f))
        get_frame_field(&r, &f, &frame);
    if (r.is_bad)
        return ERR_MALFORMED;
    *ret_frame = frame;
    return OK;
}
