/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the protocol: packed into memory of the call they are made for, unpacked within a
 * budget. Messages of this protocol do not contain themselves, so that no depth is to be watched;
 * what is watched is that many small items do not become much memory.
 */
#ifndef BRIDGE_WIRE_H
#define BRIDGE_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <remora_plugin.h>

/* The layout of every map from text to text. */
struct wire_entry {
    ProtobufCMessage base;
    char *key;
    char *value;
};

/* NULL if it is malformed or needs too much memory. */
void *wire_unpack(const ProtobufCMessageDescriptor *descriptor, struct remora_slice bytes);
/* What it said is wiped: it may be a secret. NULL is nothing. */
void wire_free(void *message);

/* All of these in memory of the call. */
struct remora_slice wire_pack(remora_call *call, const ProtobufCMessage *message);
char *wire_text(remora_call *call, struct remora_slice text);
/* A field of a map type whose entries have that descriptor; the count is the pairs'. */
void *wire_map(remora_call *call, const struct remora_pair *pairs, size_t count,
               const ProtobufCMessageDescriptor *descriptor);
struct remora_pair *wire_pairs(remora_call *call, void *map, size_t count);

static inline ProtobufCBinaryData
wire_bytes(struct remora_slice bytes)
{
    /* protobuf-c only reads it; its struct just lacks the const. */
    return (ProtobufCBinaryData){ .len = bytes.len, .data = (uint8_t *)(uintptr_t)bytes.data };
}

static inline struct remora_slice
wire_slice(ProtobufCBinaryData bytes)
{
    return (struct remora_slice){ bytes.len == 0 ? "" : (const char *)bytes.data, bytes.len };
}

struct remora_slice wire_str(const char *text);

#endif
