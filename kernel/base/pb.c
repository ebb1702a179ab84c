/* SPDX-License-Identifier: Apache-2.0 */
/* Depth scan, budgeted arena allocator and packing for protobuf-c; see pb.h. */
#include "base/pb.h"

#include <assert.h>

#include "base/wire.h"

/* What the arena really spends: a message of many tiny fields pays for its padding. */
static size_t
spent_on(size_t bytes)
{
    return bytes < 16 ? 16 : bytes;
}

/* Whether bytes are a message that takes no more memory than is left, as far as that can be told
 * without taking it: what is hostile is refused before it costs. Recursion is bounded by
 * depth_left. */
static bool
is_sound(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, unsigned depth_left,
         size_t *left)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.type != WIRE_BYTES)
            continue;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor,
                                                                                        f.field);
        if (field == NULL)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && slice_find_byte(f.bytes, '\0') >= 0)
            return false;
        bool is_message = field->type == PROTOBUF_C_TYPE_MESSAGE;
        size_t bytes_in_memory = field->label == PROTOBUF_C_LABEL_REPEATED ? sizeof(void *) : 0;
        if (is_message)
            bytes_in_memory += spent_on(
                ((const ProtobufCMessageDescriptor *)field->descriptor)->sizeof_message);
        else if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES)
            bytes_in_memory += spent_on(f.bytes.len);
        if (bytes_in_memory > *left)
            return false;
        *left -= bytes_in_memory;
        if (is_message &&
            (depth_left == 0 || !is_sound(field->descriptor, f.bytes, depth_left - 1, left)))
            return false;
    }
    return !r.is_bad;
}

struct budget {
    struct arena *arena;
    size_t left;
};

static void *
budget_alloc(void *data, size_t bytes)
{
    struct budget *budget = data;
    size_t spent = spent_on(bytes);
    if (spent > budget->left)
        return NULL;
    budget->left -= spent;
    return arena_alloc(budget->arena, bytes);
}

static void
budget_free(void *data, void *pointer)
{
    (void)data; /* the arena frees as a whole */
    (void)pointer;
}

void *
pb_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
          unsigned depth_max, size_t budget_bytes)
{
    size_t left = budget_bytes;
    if (!is_sound(descriptor, bytes, depth_max, &left))
        return NULL;
    struct budget budget = { .arena = arena, .left = budget_bytes };
    ProtobufCAllocator allocator = { .alloc = budget_alloc,
                                     .free = budget_free,
                                     .allocator_data = &budget };
    return protobuf_c_message_unpack(descriptor, &allocator, bytes.len,
                                     (const uint8_t *)bytes.data);
}

struct slice
pb_pack(struct arena *arena, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = arena_alloc(arena, len);
    size_t written = protobuf_c_message_pack(message, bytes);
    assert(written == len);
    return slice_of((const char *)bytes, len);
}
