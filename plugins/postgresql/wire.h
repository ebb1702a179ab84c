/* SPDX-License-Identifier: Apache-2.0 */
/* Values in PostgreSQL's binary form: numbers are big-endian, texts and bytes as they are. */
#ifndef POSTGRESQL_WIRE_H
#define POSTGRESQL_WIRE_H

#include <endian.h>
#include <remora_plugin.h>
#include <string.h>

static inline void
wire_put_i64(char out[8], int64_t value)
{
    uint64_t bytes = htobe64((uint64_t)value);
    memcpy(out, &bytes, 8);
}

static inline int64_t
wire_get_i64(const char *in)
{
    uint64_t bytes;
    memcpy(&bytes, in, 8);
    return (int64_t)be64toh(bytes);
}

static inline char *
wire_put_u32(char *out, uint32_t value)
{
    value = htobe32(value);
    memcpy(out, &value, 4);
    return out + 4;
}

enum { WIRE_ARRAY_HEAD_BYTES = 20, WIRE_TEXT_OID = 25 };

/* The head of an array of texts; each follows with its length in front. */
static inline char *
wire_put_array(char *out, uint32_t count)
{
    out = wire_put_u32(out, count > 0); /* dimensions */
    out = wire_put_u32(out, 0);         /* none is NULL */
    out = wire_put_u32(out, WIRE_TEXT_OID);
    if (count == 0)
        return out;
    out = wire_put_u32(out, count);
    return wire_put_u32(out, 1); /* where it begins */
}

static inline char *
wire_put_text(char *out, struct remora_slice text)
{
    out = wire_put_u32(out, (uint32_t)text.len);
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    return out + text.len;
}

#endif
