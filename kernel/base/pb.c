/* SPDX-License-Identifier: Apache-2.0 */
/* Depth scan, budgeted arena allocator and packing for protobuf-c; see pb.h. */
#include "base/pb.h"

#include <assert.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LEN = 2, WIRE_32BIT = 5 };

static bool
read_varint(struct slice *rest, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < rest->len; i++) {
        unsigned char byte = (unsigned char)rest->data[i];
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if ((byte & 0x80) == 0) {
            *rest = slice_from(*rest, i + 1);
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* Takes one field off the front; `ret_content` is set for length-delimited ones only. */
static bool
read_field(struct slice *rest, uint32_t *ret_tag, enum wire_type *ret_type,
           struct slice *ret_content)
{
    uint64_t key, len = 0;
    if (!read_varint(rest, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3)
        return false;
    *ret_tag = (uint32_t)(key >> 3);
    *ret_type = (enum wire_type)(key & 7);
    *ret_content = SLICE_EMPTY;
    switch (*ret_type) {
    case WIRE_VARINT:
        return read_varint(rest, &len);
    case WIRE_64BIT:
        len = 8;
        break;
    case WIRE_32BIT:
        len = 4;
        break;
    case WIRE_LEN:
        if (!read_varint(rest, &len))
            return false;
        break;
    default: /* groups are gone from the language */
        return false;
    }
    if (len > rest->len)
        return false;
    if (*ret_type == WIRE_LEN)
        *ret_content = slice_first(*rest, (size_t)len);
    *rest = slice_from(*rest, (size_t)len);
    return true;
}

/* Recursion is bounded by depth_left. */
static bool
is_sound(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, unsigned depth_left)
{
    while (bytes.len > 0) {
        uint32_t tag;
        enum wire_type type;
        struct slice content;
        if (!read_field(&bytes, &tag, &type, &content))
            return false;
        if (type != WIRE_LEN)
            continue;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor,
                                                                                        tag);
        if (field == NULL)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && slice_find_byte(content, '\0') >= 0)
            return false;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            (depth_left == 0 || !is_sound(field->descriptor, content, depth_left - 1)))
            return false;
    }
    return true;
}

struct budget {
    struct arena *arena;
    size_t left;
};

static void *
budget_alloc(void *data, size_t bytes)
{
    struct budget *budget = data;
    /* What the arena really spends: a message of many tiny fields pays for its padding. */
    size_t spent = bytes < 16 ? 16 : bytes;
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
    if (!is_sound(descriptor, bytes, depth_max))
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
