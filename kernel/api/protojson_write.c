/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages written as protobuf JSON: members in the order of the message, without blanks, what is
 * not set left out. Maps are in the order of their keys; of two entries of one key the last counts,
 * as it does on the wire. Depth is bounded by what a message was unpacked or read with.
 */
#include "api/protojson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/limits.h"
#include "config/number.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"

struct writer {
    struct buf *out;
    struct arena *arena;
};

static bool write_message(struct writer *w, const ProtobufCMessage *message);

/* --- scalars -----------------------------------------------------------------------------------*/

static bool
write_text(struct writer *w, struct slice text)
{
    return json_write_string(w->out, text, false);
}

static bool
write_real(struct writer *w, double number)
{
    char text[NUMBER_TEXT_BYTES];
    if (isnan(number))
        return buf_append(w->out, SLICE("\"NaN\""));
    if (isinf(number))
        return buf_append(w->out, number > 0 ? SLICE("\"Infinity\"") : SLICE("\"-Infinity\""));
    return buf_append(w->out, number_print_json(number, text));
}

static bool
write_bytes(struct writer *w, struct slice bytes)
{
    size_t len = base64_encoded_len(bytes.len);
    char *text = arena_alloc(w->arena, len + 1);
    base64_encode(bytes, text);
    return write_text(w, slice_of(text, len));
}

static bool
write_value(struct writer *w, const ProtobufCFieldDescriptor *field, const void *at)
{
    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return write_message(w, *(const ProtobufCMessage *const *)at);
    case PROTOBUF_C_TYPE_STRING:
        return write_text(w, slice_str(*(const char *const *)at));
    case PROTOBUF_C_TYPE_BYTES:
        return write_bytes(w, pb_slice(*(const ProtobufCBinaryData *)at));
    case PROTOBUF_C_TYPE_BOOL:
        return buf_append(w->out, *(const protobuf_c_boolean *)at ? SLICE("true") : SLICE("false"));
    case PROTOBUF_C_TYPE_DOUBLE:
        return write_real(w, *(const double *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return write_real(w, (double)*(const float *)at);
    case PROTOBUF_C_TYPE_INT64:
        return buf_printf(w->out, "\"%lld\"", (long long)*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
        return buf_printf(w->out, "\"%llu\"", (unsigned long long)*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
        return buf_printf(w->out, "%u", *(const uint32_t *)at);
    default:
        return buf_printf(w->out, "%d", *(const int32_t *)at);
    }
}

/* Of a field without a oneof: whether it says anything. */
static bool
is_set(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(const ProtobufCMessage *const *)at != NULL;
    case PROTOBUF_C_TYPE_STRING:
        return slice_str(*(const char *const *)at).len > 0;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len > 0;
    case PROTOBUF_C_TYPE_DOUBLE:
        return *(const double *)at != 0 || signbit(*(const double *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return *(const float *)at != 0 || signbit(*(const float *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const uint64_t *)at != 0;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)at != 0;
    default:
        return *(const uint32_t *)at != 0;
    }
}

/* --- lists and maps ----------------------------------------------------------------------------*/

static size_t
bytes_of(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData)
           : field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_UINT32 ||
                   field->type == PROTOBUF_C_TYPE_FLOAT || field->type == PROTOBUF_C_TYPE_BOOL ||
                   field->type == PROTOBUF_C_TYPE_ENUM
               ? 4
               : 8;
}

static bool
write_list(struct writer *w, const ProtobufCFieldDescriptor *field, const char *items, size_t count)
{
    bool is_good = buf_append_byte(w->out, '[');
    for (size_t i = 0; i < count && is_good; i++)
        is_good = (i == 0 || buf_append_byte(w->out, ',')) &&
                  write_value(w, field, items + i * bytes_of(field));
    return is_good && buf_append_byte(w->out, ']');
}

struct entry {
    const char *key;
    const char *message;
    size_t at;
};

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    int order = strcmp(one->key, other->key);
    return order != 0 ? order : one->at < other->at ? -1 : 1;
}

static bool
write_map(struct writer *w, const ProtobufCMessageDescriptor *type, const void *items, size_t count)
{
    const char *const *messages = items;
    struct entry *entries = ARENA_ARRAY(w->arena, struct entry, count + 1);
    bool is_good = buf_append_byte(w->out, '{'), is_first = true;
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){
            .key = *(const char *const *)(const void *)(messages[i] + type->fields[0].offset),
            .message = messages[i],
            .at = i
        };
    if (count > 1)
        qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count && is_good; i++) {
        const char *value = entries[i].message + type->fields[1].offset;
        if (i + 1 < count && strcmp(entries[i].key, entries[i + 1].key) == 0)
            continue;
        if (type->fields[1].type == PROTOBUF_C_TYPE_MESSAGE && !is_set(&type->fields[1], value))
            continue; /* an entry without a value, which only a client of its own makes */
        is_good = (is_first || buf_append_byte(w->out, ',')) &&
                  write_text(w, slice_str(entries[i].key)) && buf_append_byte(w->out, ':') &&
                  write_value(w, &type->fields[1], value);
        is_first = false;
    }
    return is_good && buf_append_byte(w->out, '}');
}

/* --- messages with a form of their own ---------------------------------------------------------*/

static bool
write_any_value(struct writer *w, const Google__Protobuf__Value *value)
{
    const ProtobufCMessageDescriptor *type = value->base.descriptor;
    if (value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET ||
        value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE)
        return buf_append(w->out, SLICE("null"));
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
        type, (unsigned)value->kind_case);
    return write_value(w, field, (const char *)value + field->offset);
}

static bool
write_duration(struct writer *w, const Google__Protobuf__Duration *duration)
{
    enum { NANO_DIGITS = 9 };
    char text[48];
    bool is_negative = duration->seconds < 0 || duration->nanos < 0;
    const uint64_t seconds = duration->seconds < 0 ? 0 - (uint64_t)duration->seconds
                                                   : (uint64_t)duration->seconds;
    const uint32_t nanos = duration->nanos < 0 ? 0 - (uint32_t)duration->nanos
                                               : (uint32_t)duration->nanos;
    int len = snprintf(text, sizeof text, "%s%llu.%09u", is_negative ? "-" : "",
                       (unsigned long long)seconds, nanos % 1000000000);
    /* Three digits at a time, as protojson has them. */
    for (int i = 0; i < NANO_DIGITS / 3 && memcmp(text + len - 3, "000", 3) == 0; i++)
        len -= 3;
    if (text[len - 1] == '.')
        len--;
    return buf_printf(w->out, "\"%.*ss\"", len, text);
}

/* NULL if it is of no known type, or malformed. */
static const ProtobufCMessage *
content_of(struct arena *arena, const Google__Protobuf__Any *any)
{
    const ProtobufCMessageDescriptor *type = protojson_type(slice_str(any->type_url));
    return type == NULL ? NULL
                        : pb_unpack(arena, type, pb_slice(any->value), LIMIT_grpc_depth_max,
                                    LIMIT_grpc_unpack_base_bytes +
                                        LIMIT_grpc_unpack_factor * any->value.len);
}

static bool
write_any(struct writer *w, const Google__Protobuf__Any *any)
{
    if (slice_str(any->type_url).len == 0 && any->value.len == 0)
        return buf_append(w->out, SLICE("{}"));
    const ProtobufCMessage *content = content_of(w->arena, any);
    return content != NULL && buf_append(w->out, SLICE("{\"@type\":")) &&
           write_text(w, slice_str(any->type_url)) && buf_append(w->out, SLICE(",\"value\":")) &&
           write_message(w, content) && buf_append_byte(w->out, '}');
}

/* --- messages ----------------------------------------------------------------------------------*/

static bool
write_name(struct writer *w, const char *name)
{
    bool is_good = buf_append_byte(w->out, '"');
    for (; *name != '\0' && is_good; name++) {
        char c = *name;
        if (c == '_' && name[1] >= 'a' && name[1] <= 'z')
            c = (char)(*++name - 'a' + 'A');
        is_good = buf_append_byte(w->out, c);
    }
    return is_good && buf_append(w->out, SLICE("\":"));
}

static bool
write_field(struct writer *w, const ProtobufCFieldDescriptor *field, const char *message)
{
    const char *at = message + field->offset;
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return write_value(w, field, at);
    const void *items = *(const void *const *)(const void *)at;
    size_t count = *(const size_t *)(const void *)(message + field->quantifier_offset);
    return protojson_is_map(field) ? write_map(w, field->descriptor, items, count)
                                   : write_list(w, field, items, count);
}

static bool
has_field(const ProtobufCFieldDescriptor *field, const char *message)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)(message + field->quantifier_offset) > 0;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)(const void *)(message + field->quantifier_offset) == field->id;
    return is_set(field, message + field->offset);
}

static bool
write_members(struct writer *w, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    bool is_first = true, is_good = buf_append_byte(w->out, '{');
    for (unsigned i = 0; i < type->n_fields && is_good; i++) {
        if (!has_field(&type->fields[i], (const char *)message))
            continue;
        is_good = (is_first || buf_append_byte(w->out, ',')) &&
                  write_name(w, type->fields[i].name) &&
                  write_field(w, &type->fields[i], (const char *)message);
        is_first = false;
    }
    return is_good && buf_append_byte(w->out, '}');
}

static bool
write_message(struct writer *w, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const void *as = message;
    if (type == &google__protobuf__any__descriptor)
        return write_any(w, as);
    if (type == &google__protobuf__value__descriptor)
        return write_any_value(w, as);
    if (type == &google__protobuf__duration__descriptor)
        return write_duration(w, as);
    if (type == &google__protobuf__struct__descriptor ||
        type == &google__protobuf__list_value__descriptor || protojson_is_wrapper(type))
        return write_field(w, &type->fields[0], (const char *)message);
    return write_members(w, message);
}

bool
protojson_write(struct buf *out, struct arena *arena, const ProtobufCMessage *message)
{
    struct writer w = { .out = out, .arena = arena };
    return write_message(&w, message);
}

bool
protojson_write_content(struct buf *out, struct arena *arena, const Google__Protobuf__Any *any)
{
    struct writer w = { .out = out, .arena = arena };
    const ProtobufCMessage *content = content_of(arena, any);
    return content != NULL && write_message(&w, content);
}
