/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf's wire format by hand, for messages that are read or written for every call: no tree, no
 * allocation, strings may hold NULs. Numbers and lengths of what is read are checked, nothing else;
 * what is written must have room (the WIRE_*_MAX bounds tell how much). Everything not hot belongs
 * to protobuf-c (pb.h).
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "base/slice.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

enum {
    WIRE_VARINT_MAX = 10,
    WIRE_NUMBER_MAX = 5 + WIRE_VARINT_MAX, /* tag and number */
    WIRE_HEAD_MAX = 5 + WIRE_VARINT_MAX,   /* tag and length of bytes */
};

/* --- reading -----------------------------------------------------------------------------------*/

struct wire_reader {
    const char *at;
    const char *end;
    bool is_bad; /* wire_next() returned false for a reason other than the end */
};

/* `number` is set for varints, `bytes` for everything else. */
struct wire_field {
    uint32_t field;
    enum wire_type type;
    uint64_t number;
    struct slice bytes;
};

static inline struct wire_reader
wire_reader(struct slice bytes)
{
    return (struct wire_reader){ .at = bytes.data, .end = bytes.data + bytes.len };
}

static inline bool
wire_get_long_varint(struct wire_reader *r, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < WIRE_VARINT_MAX && r->at + i < r->end; i++) {
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
wire_get_varint(struct wire_reader *r, uint64_t *ret_value)
{
    if (LIKELY(r->at < r->end && (unsigned char)*r->at < 0x80)) {
        *ret_value = (unsigned char)*r->at++;
        return true;
    }
    return wire_get_long_varint(r, ret_value);
}

static inline bool
wire_get_field(struct wire_reader *r, struct wire_field *f)
{
    uint64_t key, len;
    if (!wire_get_varint(r, &key) || key >> 3 == 0 || key > UINT32_MAX)
        return false;
    *f = (struct wire_field){ .field = (uint32_t)key >> 3, .type = (enum wire_type)(key & 7) };
    switch (f->type) {
    case WIRE_VARINT:
        return wire_get_varint(r, &f->number);
    case WIRE_64BIT:
        len = 8;
        break;
    case WIRE_32BIT:
        len = 4;
        break;
    case WIRE_BYTES:
        if (!wire_get_varint(r, &len))
            return false;
        break;
    default: /* groups, which proto3 does not have */
        return false;
    }
    if (len > (size_t)(r->end - r->at))
        return false;
    f->bytes = slice_of(r->at, (size_t)len);
    r->at += len;
    return true;
}

/* Takes the next field; false at the end and for malformed bytes (then is_bad). */
static inline bool
wire_next(struct wire_reader *r, struct wire_field *ret_field)
{
    if (r->at == r->end || r->is_bad)
        return false;
    r->is_bad = !wire_get_field(r, ret_field);
    return !r->is_bad;
}

/* How often a field occurs; what is malformed is left to the one who reads it. */
static inline size_t
wire_count(struct slice bytes, unsigned field)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    size_t count = 0;
    while (wire_next(&r, &f))
        count += f.field == field;
    return count;
}

/* The content of a field that must be bytes or a varint; another type makes the reader bad. */
static inline struct slice
wire_bytes(struct wire_reader *r, const struct wire_field *f)
{
    r->is_bad = r->is_bad || f->type != WIRE_BYTES;
    return f->type == WIRE_BYTES ? f->bytes : SLICE_EMPTY;
}

static inline uint64_t
wire_number(struct wire_reader *r, const struct wire_field *f)
{
    r->is_bad = r->is_bad || f->type != WIRE_VARINT;
    return f->number;
}

/* `sint64`: small numbers of either sign are short. */
static inline int64_t
wire_unzigzag(uint64_t number)
{
    return (int64_t)(number >> 1 ^ (~(number & 1) + 1));
}

static inline uint64_t
wire_zigzag(int64_t number)
{
    return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

/* --- writing: each returns the place behind what it wrote --------------------------------------*/

static inline char *
wire_put_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

/* Even if zero: for `optional` fields. */
static inline char *
wire_put_present_number(char *at, unsigned field, uint64_t value)
{
    return wire_put_varint(wire_put_varint(at, field << 3 | WIRE_VARINT), value);
}

/* Zero is what an absent field means, so it is not written. */
static inline char *
wire_put_number(char *at, unsigned field, uint64_t value)
{
    return value == 0 ? at : wire_put_present_number(at, field, value);
}

static inline char *
wire_put_head(char *at, unsigned field, size_t len)
{
    return wire_put_varint(wire_put_varint(at, field << 3 | WIRE_BYTES), len);
}

static inline char *
wire_put_raw(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    return at + s.len;
}

/* Even if empty: for `optional` fields and messages. */
static inline char *
wire_put_present_bytes(char *at, unsigned field, struct slice s)
{
    return wire_put_raw(wire_put_head(at, field, s.len), s);
}

static inline char *
wire_put_bytes(char *at, unsigned field, struct slice s)
{
    return s.len == 0 ? at : wire_put_present_bytes(at, field, s);
}

/* --- lengths of what is written ----------------------------------------------------------------*/

static inline size_t
wire_varint_len(uint64_t value)
{
    size_t len = 1;
    while (value >= 0x80) {
        value >>= 7;
        len++;
    }
    return len;
}

static inline size_t
wire_number_len(unsigned field, uint64_t value)
{
    return value == 0 ? 0 : wire_varint_len(field << 3) + wire_varint_len(value);
}

static inline size_t
wire_bytes_len(unsigned field, struct slice s)
{
    return s.len == 0 ? 0 : wire_varint_len(field << 3) + wire_varint_len(s.len) + s.len;
}

#endif
