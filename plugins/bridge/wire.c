/* SPDX-License-Identifier: Apache-2.0 */
/* See wire.h. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

enum { BUDGET_BYTES_BASE = 64 * 1024, BUDGET_FACTOR = 16 };

struct budget {
    size_t left;
};

/* A size in front of each piece, so that it can be wiped. */
union piece {
    size_t bytes;
    max_align_t align;
};

static void *
take(void *arg, size_t bytes)
{
    struct budget *budget = arg;
    if (bytes > budget->left || bytes > SIZE_MAX - sizeof(union piece))
        return NULL;
    union piece *piece = malloc(sizeof *piece + bytes);
    if (piece == NULL)
        return NULL;
    budget->left -= bytes;
    piece->bytes = bytes;
    return piece + 1;
}

static void
give(void *arg, void *memory)
{
    (void)arg;
    if (memory == NULL)
        return;
    union piece *piece = (union piece *)memory - 1;
    explicit_bzero(memory, piece->bytes);
    free(piece);
}

void *
wire_unpack(const ProtobufCMessageDescriptor *descriptor, struct remora_slice bytes)
{
    struct budget budget = { BUDGET_BYTES_BASE + bytes.len * BUDGET_FACTOR };
    ProtobufCAllocator allocator = { .alloc = take, .free = give, .allocator_data = &budget };
    return protobuf_c_message_unpack(descriptor, &allocator, bytes.len,
                                     (const uint8_t *)bytes.data);
}

void
wire_free(void *message)
{
    ProtobufCAllocator allocator = { .alloc = take, .free = give };
    protobuf_c_message_free_unpacked(message, &allocator); /* NULL is nothing */
}

struct remora_slice
wire_pack(remora_call *call, const ProtobufCMessage *message)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *room = remora_call_alloc(call, bytes + 1);
    return (struct remora_slice){ (char *)room, protobuf_c_message_pack(message, room) };
}

char *
wire_text(remora_call *call, struct remora_slice text)
{
    char *copy = remora_call_alloc(call, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

struct remora_slice
wire_str(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

void *
wire_map(remora_call *call, const struct remora_pair *pairs, size_t count,
         const ProtobufCMessageDescriptor *descriptor)
{
    struct wire_entry **map = remora_call_alloc(call, (count + 1) * sizeof(struct wire_entry *));
    struct wire_entry *entries = remora_call_alloc(call, (count + 1) * sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        protobuf_c_message_init(descriptor, &entries[i]);
        entries[i].key = wire_text(call, pairs[i].name);
        entries[i].value = wire_text(call, pairs[i].value);
        map[i] = &entries[i];
    }
    return map;
}

struct remora_pair *
wire_pairs(remora_call *call, void *map, size_t count)
{
    struct wire_entry *const *entries = map;
    struct remora_pair *pairs = remora_call_alloc(call, (count + 1) * sizeof *pairs);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct remora_pair){ wire_str(entries[i]->key), wire_str(entries[i]->value) };
    return pairs;
}
