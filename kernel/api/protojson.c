/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf JSON: what reading and writing share; see protojson.h. */
#include "api/protojson.h"

#include "base/base64.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"

/* --- types -------------------------------------------------------------------------------------*/

static const ProtobufCMessageDescriptor *const wrappers[] = {
    &google__protobuf__string_value__descriptor, &google__protobuf__bytes_value__descriptor,
    &google__protobuf__bool_value__descriptor,   &google__protobuf__double_value__descriptor,
    &google__protobuf__float_value__descriptor,  &google__protobuf__int64_value__descriptor,
    &google__protobuf__uint64_value__descriptor, &google__protobuf__int32_value__descriptor,
    &google__protobuf__uint32_value__descriptor,
};

static const ProtobufCMessageDescriptor *const others[] = {
    &google__protobuf__struct__descriptor,     &google__protobuf__value__descriptor,
    &google__protobuf__list_value__descriptor, &google__protobuf__duration__descriptor,
    &google__protobuf__empty__descriptor,
};

bool
protojson_is_wrapper(const ProtobufCMessageDescriptor *descriptor)
{
    for (size_t i = 0; i < ARRAY_LEN(wrappers); i++)
        if (wrappers[i] == descriptor)
            return true;
    return false;
}

bool
protojson_is_well_known(const ProtobufCMessageDescriptor *descriptor)
{
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (others[i] == descriptor)
            return true;
    return protojson_is_wrapper(descriptor);
}

const ProtobufCMessageDescriptor *
protojson_type(struct slice url)
{
    struct slice name = url, part;
    while (slice_split(&url, '/', &part))
        name = part;
    for (size_t i = 0; i < ARRAY_LEN(wrappers); i++)
        if (slice_eq(name, slice_str(wrappers[i]->name)))
            return wrappers[i];
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (slice_eq(name, slice_str(others[i]->name)))
            return others[i];
    return NULL;
}

/* The generator marks entries by their name only, which nothing else in the API has. */
bool
protojson_is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
        return false;
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    return entry->n_fields == 2 && slice_has_suffix(slice_str(entry->name), SLICE("Entry")) &&
           slice_eq(slice_str(entry->fields[0].name), SLICE("key")) &&
           slice_eq(slice_str(entry->fields[1].name), SLICE("value"));
}

/* --- texts -------------------------------------------------------------------------------------*/

/* Shifts by a power of ten; false if digits are lost. */
static bool
shift(uint64_t *value, int64_t exponent)
{
    for (; exponent > 0 && *value > 0; exponent--)
        if (__builtin_mul_overflow(*value, (uint64_t)10, value))
            return false;
    for (; exponent < 0 && *value > 0; exponent++) {
        if (*value % 10 != 0)
            return false;
        *value /= 10;
    }
    return true;
}

bool
protojson_whole(struct slice text, bool *ret_is_negative, uint64_t *ret_magnitude)
{
    enum { EXPONENT_MAX = 20, DIGITS_MAX = 64 };
    bool is_negative = slice_has_prefix(text, SLICE("-")), has_point = false;
    uint64_t value = 0;
    int64_t exponent = 0, written = 0;
    size_t digits = 0, i = is_negative ? 1 : 0;
    for (; i < text.len && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        const char c = text.data[i];
        if (c == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (c < '0' || c > '9' || ++digits > DIGITS_MAX ||
            __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return false;
        exponent -= has_point ? 1 : 0;
    }
    struct slice rest = slice_from(text, i);
    if (rest.len > 0) {
        rest = slice_from(rest, 1);
        rest = slice_has_prefix(rest, SLICE("+")) ? slice_from(rest, 1) : rest;
        if (!slice_to_i64(rest, &written) || written > EXPONENT_MAX || written < -EXPONENT_MAX)
            return false;
    }
    if (digits == 0 || !shift(&value, exponent + written))
        return false;
    *ret_is_negative = is_negative && value > 0;
    *ret_magnitude = value;
    return true;
}

bool
protojson_base64(struct arena *arena, struct slice text, struct slice *ret_bytes)
{
    char *plain = arena_alloc(arena, text.len + 4);
    size_t len = text.len;
    for (size_t i = 0; i < len; i++) {
        char c = text.data[i];
        plain[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    while (text.len % 4 != 0 && len % 4 != 0)
        plain[len++] = '=';
    return base64_decode_arena(arena, slice_of(plain, len), ret_bytes);
}

struct slice
protojson_complaint(struct arena *arena, const struct json *json, size_t at, const char *words,
                    struct slice shown)
{
    enum { SHOWN_BYTES_MAX = 64 };
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < json->text.len; i++) {
        column++;
        if (json->text.data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    while (shown.len > SHOWN_BYTES_MAX || (shown.len > 0 && !slice_is_utf8(shown)))
        shown.len = shown.len > SHOWN_BYTES_MAX ? SHOWN_BYTES_MAX : shown.len - 1;
    return arena_printf(arena, "(line %zu:%zu): %s" SLICE_FMT, line, column, words,
                        SLICE_ARG(shown));
}

struct slice
protojson_syntax(struct arena *arena, struct json *json)
{
    if (!json->failed && json_end(json))
        return SLICE_EMPTY;
    if (json->at >= json->text.len)
        return SLICE("unexpected EOF");
    return arena_printf(
        arena, "syntax error " SLICE_FMT,
        SLICE_ARG(protojson_complaint(arena, json, json->at, "invalid value ",
                                      slice_first(slice_from(json->text, json->at), 1))));
}
