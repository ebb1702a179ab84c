/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by descriptor; see json.h. */
#include "json.h"

#include <ctype.h>
#include <inttypes.h>

#include "base/json.h"

#define UNSPECIFIED "UNSPECIFIED"

static bool
put_name(struct buf *out, const char *name)
{
    bool ok = buf_append_byte(out, '"');
    for (; *name != '\0' && ok; name++) {
        bool is_hump = *name == '_' && name[1] != '\0';
        if (is_hump)
            name++;
        ok = buf_append_byte(out, is_hump ? (char)toupper((unsigned char)*name) : *name);
    }
    return ok && buf_append(out, SLICE("\":"));
}

/* EVENT_KIND_PLUGIN → "plugin": what the zero value has before UNSPECIFIED is common to all. */
static bool
put_enum(struct buf *out, const ProtobufCEnumDescriptor *descriptor, int number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(descriptor, number);
    const ProtobufCEnumValue *zero = protobuf_c_enum_descriptor_get_value(descriptor, 0);
    if (value == NULL)
        return buf_printf(out, "%d", number);
    struct slice prefix = slice_str(zero == NULL ? NULL : zero->name);
    if (slice_has_suffix(prefix, SLICE(UNSPECIFIED)))
        prefix.len -= sizeof UNSPECIFIED - 1;
    struct slice name = slice_str(value->name);
    if (slice_has_prefix(name, prefix))
        name = slice_from(name, prefix.len);
    bool ok = buf_append_byte(out, '"');
    for (size_t i = 0; i < name.len && ok; i++)
        ok = buf_append_byte(out, (char)tolower((unsigned char)name.data[i]));
    return ok && buf_append_byte(out, '"');
}

static bool
put_text(struct buf *out, const char *text)
{
    return json_write_string(out, slice_str(text), false);
}

/* One value; `at` points to it. */
static bool
put_value(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at)
{
    const ProtobufCMessage *message;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
        return buf_printf(out, "%" PRId32, *(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
        return buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
        return buf_printf(out, "%" PRId64, *(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
        return buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return buf_printf(out, "%s", *(const protobuf_c_boolean *)at ? "true" : "false");
    case PROTOBUF_C_TYPE_ENUM:
        return put_enum(out, field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return put_text(out, *(char *const *)at);
    case PROTOBUF_C_TYPE_MESSAGE:
        message = *(ProtobufCMessage *const *)at;
        return message == NULL ? buf_append(out, SLICE("null")) : json_put_message(out, message);
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_BYTES:
        break; /* the contract has none */
    }
    return buf_append(out, SLICE("null"));
}

static bool
put_field(struct buf *out, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const char *at = (const char *)message + field->offset;
    if (!put_name(out, field->name))
        return false;
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return put_value(out, field, at);
    size_t count = *(const size_t *)(const void *)((const char *)message +
                                                   field->quantifier_offset);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return json_put_messages(out, count, *(void *const *const *)(const void *)at);
    return json_put_texts(out, count, *(char *const *const *)(const void *)at);
}

bool
json_put_message(struct buf *out, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    bool ok = buf_append_byte(out, '{');
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        ok = ok && (i == 0 || buf_append_byte(out, ',')) &&
             put_field(out, message, &descriptor->fields[i]);
    return ok && buf_append_byte(out, '}');
}

bool
json_put_messages(struct buf *out, size_t count, void *const *messages)
{
    bool ok = buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++)
        ok = ok && (i == 0 || buf_append_byte(out, ',')) && json_put_message(out, messages[i]);
    return ok && buf_append_byte(out, ']');
}

bool
json_put_texts(struct buf *out, size_t count, char *const *texts)
{
    bool ok = buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++)
        ok = ok && (i == 0 || buf_append_byte(out, ',')) && put_text(out, texts[i]);
    return ok && buf_append_byte(out, ']');
}
