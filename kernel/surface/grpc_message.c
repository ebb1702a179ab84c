/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as protobuf messages, made safe: bounded in depth and memory, and every string text.
 * What is refused is refused in the words of the reference runtime.
 */
#include "base/limits.h"
#include "surface/grpc_surface.h"

/* protobuf-c delivers strings as they are; the language says they are UTF-8. Recursion is bounded
 * by what the message was unpacked with. */
static bool is_text(const ProtobufCMessage *message);

static bool
field_is_text(const ProtobufCFieldDescriptor *field, const void *value)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)value;
        return text == NULL || slice_is_utf8(slice_str(text));
    }
    const ProtobufCMessage *inner = *(const ProtobufCMessage *const *)value;
    return inner == NULL || is_text(inner);
}

static bool
is_text(const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id)
            continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (!field_is_text(field, base + field->offset))
                return false;
            continue;
        }
        size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
        const void *const *items = *(const void *const *const *)(const void *)(base +
                                                                               field->offset);
        for (size_t k = 0; k < count; k++)
            if (!field_is_text(field, &items[k]))
                return false;
    }
    return true;
}

const ProtobufCMessage *
grpc_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
            struct slice *ret_words)
{
    const ProtobufCMessage *message = pb_unpack(arena, descriptor, bytes, LIMIT_grpc_depth_max,
                                                LIMIT_grpc_unpack_base_bytes +
                                                    LIMIT_grpc_unpack_factor * bytes.len);
    if (message != NULL && is_text(message))
        return message;
    *ret_words = message == NULL ? RPC_MALFORMED
                                 : SLICE("grpc: error unmarshalling request: string field contains "
                                         "invalid UTF-8");
    return NULL;
}
