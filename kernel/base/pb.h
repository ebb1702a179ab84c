/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protobuf-c made safe for bytes from outside. protobuf_c_message_unpack() recurses without limit
 * and turns small inputs into large trees; pb_unpack() first walks the wire bytes by descriptor and
 * refuses what nests deeper than allowed, then unpacks into an arena within a budget.
 *
 * The result lives in the arena: it is never freed with protobuf_c_message_free_unpacked().
 */
#ifndef BASE_PB_H
#define BASE_PB_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/slice.h"

/* NULL if the bytes are malformed, nest deeper than `depth_max` or would need more than
 * `budget_bytes` of memory. Strings may hold bytes that are not UTF-8 but no NULs: protobuf-c
 * delivers C strings, so a string with a NUL is refused here. */
void *pb_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                struct slice bytes, unsigned depth_max, size_t budget_bytes) WARN_UNUSED;

/* The packed form, in the arena. */
struct slice pb_pack(struct arena *arena, const ProtobufCMessage *message);

/* A `bytes` field of the given content (borrowed). */
static inline ProtobufCBinaryData
pb_bytes(struct slice s)
{
    /* protobuf-c only reads it; its struct just lacks the const. */
    return (ProtobufCBinaryData){ .len = s.len, .data = (uint8_t *)(uintptr_t)s.data };
}

static inline struct slice
pb_slice(ProtobufCBinaryData data)
{
    return slice_of(data.len == 0 ? "" : (const char *)data.data, data.len);
}

/* A `string` field: NUL-terminated copy in the arena. */
static inline char *
pb_string(struct arena *arena, struct slice s)
{
    return arena_str(arena, s);
}

#endif
