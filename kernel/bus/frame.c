/* SPDX-License-Identifier: Apache-2.0 */
/* Writes and reads the envelope of the plugin contract; see frame.h. */
#include "bus/frame.h"

#include <assert.h>

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

enum wire { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

enum {
    VARINT_BYTES_MAX = 10,
    /* The numbers, tags and lengths of an envelope: 11 numbers of at most 12 bytes, 5 heads of byte
     * strings of at most 7, and the status with 2 numbers and 2 heads. */
    FIXED_BYTES_MAX = SP_HEADER_BYTES + 11 * 12 + 5 * 7 + 4 * 7,
};
_Static_assert(FIXED_BYTES_MAX + FRAME_REQUEST_ID_MAX + FRAME_TRACEPARENT_MAX +
                       FRAME_TRACESTATE_MAX + FRAME_STATUS_MESSAGE_MAX + FRAME_STATUS_REASON_MAX <=
                   FRAME_OVERHEAD_MAX,
               "FRAME_OVERHEAD_MAX is an upper bound");

/* --- writing -----------------------------------------------------------------------------------*/

static inline char *
put_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

static inline size_t
varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    while (value >= 0x80) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

/* Zero and empty are what an absent field means, so they are not written. */
static inline char *
put_number(char *at, unsigned field, uint64_t value)
{
    return value == 0 ? at : put_varint(put_varint(at, field << 3 | WIRE_VARINT), value);
}

static inline char *
put_head(char *at, unsigned field, size_t len)
{
    return put_varint(put_varint(at, field << 3 | WIRE_BYTES), len);
}

static inline char *
put_raw(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    return at + s.len;
}

static inline char *
put_bytes(char *at, unsigned field, struct slice s)
{
    return s.len == 0 ? at : put_raw(put_head(at, field, s.len), s);
}

static size_t
number_bytes(uint64_t value)
{
    return value == 0 ? 0 : 1 + varint_bytes(value);
}

static size_t
bytes_bytes(struct slice s)
{
    return s.len == 0 ? 0 : 1 + varint_bytes(s.len) + s.len;
}

static char *
put_status(char *at, const struct frame_status *status)
{
    size_t len = number_bytes(status->code) + bytes_bytes(status->message) +
                 bytes_bytes(status->reason) + number_bytes(status->effect);
    at = put_head(at, FIELD_STATUS, len);
    at = put_number(at, STATUS_CODE, status->code);
    at = put_bytes(at, STATUS_MESSAGE, status->message);
    at = put_bytes(at, STATUS_REASON, status->reason);
    return put_number(at, STATUS_EFFECT, status->effect);
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
    at = put_number(at, FIELD_KIND, frame->kind);
    at = put_number(at, FIELD_CALL, frame->call);
    at = put_number(at, FIELD_EPOCH, frame->epoch);
    at = put_number(at, FIELD_METHOD, frame->method);
    at = put_number(at, FIELD_COMPONENT, frame->component);
    at = put_number(at, FIELD_TIMEOUT_MS, frame->timeout_ms);
    at = put_bytes(at, FIELD_REQUEST_ID, frame->request_id);
    at = put_bytes(at, FIELD_TRACEPARENT, frame->traceparent);
    at = put_bytes(at, FIELD_TRACESTATE, frame->tracestate);
    at = put_number(at, FIELD_DEPTH, frame->depth);
    at = put_number(at, FIELD_MESSAGE_BYTES, frame->message_bytes);
    at = put_number(at, FIELD_PAYLOAD_BYTES, frame->payload_bytes);
    at = put_number(at, FIELD_OPEN_ENDED, frame->open_ended);
    size_t payload_len = 0;
    for (size_t i = 0; i < part_count; i++)
        payload_len += parts[i].len;
    if (payload_len > 0)
        at = put_head(at, FIELD_PAYLOAD, payload_len);
    for (size_t i = 0; i < part_count; i++)
        at = put_raw(at, parts[i]);
    at = put_number(at, FIELD_CREDIT_BYTES, frame->credit_bytes);
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

struct reader {
    const char *at;
    const char *end;
};

/* Either `number` or `bytes` is set, by wire type. */
struct field_value {
    uint32_t field;
    enum wire wire;
    uint64_t number;
    struct slice bytes;
};

static bool
get_long_varint(struct reader *r, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX && r->at + i < r->end; i++) {
        const unsigned char byte = (unsigned char)r->at[i];
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            r->at += i + 1;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static inline bool
get_varint(struct reader *r, uint64_t *ret_value)
{
    if (LIKELY(r->at < r->end && (unsigned char)*r->at < 0x80)) {
        *ret_value = (unsigned char)*r->at++;
        return true;
    }
    return get_long_varint(r, ret_value);
}

static inline bool
get_field(struct reader *r, struct field_value *ret_value)
{
    uint64_t key, len;
    if (!get_varint(r, &key) || key >> 3 == 0 || key > UINT32_MAX)
        return false;
    ret_value->field = (uint32_t)key >> 3;
    ret_value->wire = (enum wire)(key & 7);
    switch (ret_value->wire) {
    case WIRE_VARINT:
        return get_varint(r, &ret_value->number);
    case WIRE_64BIT:
        len = 8;
        break;
    case WIRE_32BIT:
        len = 4;
        break;
    case WIRE_BYTES:
        if (!get_varint(r, &len))
            return false;
        break;
    default:
        return false; /* groups, which proto3 does not have */
    }
    if (len > (size_t)(r->end - r->at))
        return false;
    ret_value->bytes = slice_of(r->at, (size_t)len);
    r->at += len;
    return true;
}

static bool
set_status_field(struct frame_status *status, const struct field_value *value)
{
    if (value->field < STATUS_CODE || value->field > STATUS_EFFECT)
        return true;
    const bool is_text = value->field == STATUS_MESSAGE || value->field == STATUS_REASON;
    if (value->wire != (is_text ? WIRE_BYTES : WIRE_VARINT))
        return false;
    if (value->field == STATUS_CODE)
        status->code = (uint32_t)value->number;
    else if (value->field == STATUS_MESSAGE)
        status->message = value->bytes;
    else if (value->field == STATUS_REASON)
        status->reason = value->bytes;
    else
        status->effect = (uint32_t)value->number;
    return true;
}

static bool
set_status(struct frame *frame, struct slice bytes)
{
    if (frame->has_status)
        return false;
    struct frame_status status = { .message = SLICE_EMPTY, .reason = SLICE_EMPTY };
    struct reader r = { .at = bytes.data, .end = bytes.data + bytes.len };
    while (r.at < r.end) {
        struct field_value value = { .field = 0 };
        if (!get_field(&r, &value) || !set_status_field(&status, &value))
            return false;
    }
    frame->has_status = true;
    frame->status = status;
    return true;
}

static bool
set_bytes(struct frame *frame, const struct field_value *value)
{
    switch (value->field) {
    case FIELD_REQUEST_ID:
        frame->request_id = value->bytes;
        return true;
    case FIELD_TRACEPARENT:
        frame->traceparent = value->bytes;
        return true;
    case FIELD_TRACESTATE:
        frame->tracestate = value->bytes;
        return true;
    case FIELD_PAYLOAD:
        frame->payload = value->bytes;
        return true;
    case FIELD_STATUS:
        return set_status(frame, value->bytes);
    default:
        return value->field > FIELD_STATUS; /* known as a number: wrong type */
    }
}

static bool
set_number(struct frame *frame, const struct field_value *value)
{
    switch (value->field) {
    case FIELD_KIND:
        frame->kind = (uint32_t)value->number;
        return true;
    case FIELD_CALL:
        frame->call = value->number;
        return true;
    case FIELD_EPOCH:
        frame->epoch = (uint32_t)value->number;
        return true;
    case FIELD_METHOD:
        frame->method = (uint32_t)value->number;
        return true;
    case FIELD_COMPONENT:
        frame->component = (uint32_t)value->number;
        return true;
    case FIELD_TIMEOUT_MS:
        frame->timeout_ms = value->number;
        return true;
    case FIELD_DEPTH:
        frame->depth = (uint32_t)value->number;
        return true;
    case FIELD_MESSAGE_BYTES:
        frame->message_bytes = (uint32_t)value->number;
        return true;
    case FIELD_PAYLOAD_BYTES:
        frame->payload_bytes = value->number;
        return true;
    case FIELD_OPEN_ENDED:
        frame->open_ended = value->number != 0;
        return true;
    case FIELD_CREDIT_BYTES:
        frame->credit_bytes = value->number;
        return true;
    default:
        return value->field > FIELD_STATUS;
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
    struct reader r = { .at = message.data, .end = message.data + message.len };
    while (r.at < r.end) {
        struct field_value value = { .field = 0 };
        bool is_sound = get_field(&r, &value);
        if (is_sound && value.wire == WIRE_VARINT)
            is_sound = set_number(&frame, &value);
        else if (is_sound && value.wire == WIRE_BYTES)
            is_sound = set_bytes(&frame, &value);
        else if (is_sound)
            is_sound = value.field > FIELD_STATUS; /* no fixed-size field is known */
        if (!is_sound)
            return ERR_MALFORMED;
    }
    *ret_frame = frame;
    return OK;
}
