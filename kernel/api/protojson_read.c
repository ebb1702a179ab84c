/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf JSON, read into messages. A value that is not of its field's type is remembered and the
 * rest is still looked through, for its syntax; the first complaint is what the caller is told.
 */
#include "api/protojson.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/number.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"

struct reader {
    struct arena *arena;
    struct json json;
    size_t left;         /* of the memory that a text may become */
    unsigned depth_left; /* of messages */
    struct slice wrong;  /* the first complaint; empty: none */
};

static ProtobufCMessage *read_message(struct reader *r, const ProtobufCMessageDescriptor *type);
static bool read_value(struct reader *r, const ProtobufCFieldDescriptor *field, void *at);

/* --- complaints and memory ---------------------------------------------------------------------*/

static bool
complain(struct reader *r, size_t at, const char *words, struct slice shown)
{
    if (r->wrong.len == 0)
        r->wrong = protojson_complaint(r->arena, &r->json, at, words, shown);
    return false;
}

/* Zeroed; NULL if it is too much, which has been said. */
static void *
take(struct reader *r, size_t bytes)
{
    size_t spent = bytes < 16 ? 16 : bytes;
    if (spent > r->left) {
        if (r->wrong.len == 0)
            r->wrong = SLICE("the message takes too much memory");
        return NULL;
    }
    r->left -= spent;
    return arena_zalloc(r->arena, bytes);
}

static bool
enter(struct reader *r)
{
    if (r->depth_left == 0) {
        if (r->wrong.len == 0)
            r->wrong = SLICE("exceeded max recursion depth");
        return false;
    }
    r->depth_left--;
    return true;
}

static void
leave(struct reader *r)
{
    r->depth_left++;
}

/* Passes over a value that is of no use; its syntax still counts. */
static bool
skip(struct reader *r)
{
    struct slice raw;
    return json_skip(&r->json, &raw);
}

static bool
skip_unexpected(struct reader *r)
{
    struct slice raw;
    (void)json_peek(&r->json); /* to where the value begins */
    size_t at = r->json.at;
    return json_skip(&r->json, &raw) && complain(r, at, "unexpected token ", raw);
}

/* --- scalars -----------------------------------------------------------------------------------*/

static const char *
type_name(const ProtobufCFieldDescriptor *field)
{
    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return "string";
    case PROTOBUF_C_TYPE_BYTES:
        return "bytes";
    case PROTOBUF_C_TYPE_BOOL:
        return "bool";
    case PROTOBUF_C_TYPE_DOUBLE:
        return "double";
    case PROTOBUF_C_TYPE_FLOAT:
        return "float";
    case PROTOBUF_C_TYPE_INT64:
        return "int64";
    case PROTOBUF_C_TYPE_UINT64:
        return "uint64";
    case PROTOBUF_C_TYPE_UINT32:
        return "uint32";
    default:
        return "int32";
    }
}

static bool
wrong_value(struct reader *r, const ProtobufCFieldDescriptor *field, size_t at, struct slice raw)
{
    const char *words = arena_printf(r->arena, "invalid value for %s field %s: ", type_name(field),
                                     field->name)
                            .data;
    return complain(r, at, words, raw);
}

static bool
read_text(struct reader *r, struct slice *ret_text)
{
    if (json_peek(&r->json) != JSON_STRING)
        return skip_unexpected(r);
    size_t at = r->json.at;
    if (!json_string(&r->json, r->arena, ret_text))
        return false;
    if (slice_find_byte(*ret_text, '\0') >= 0)
        return complain(r, at, "a text may not hold U+0000", SLICE_EMPTY);
    return true;
}

/* A C string as protobuf-c has them. */
static char *
read_str(struct reader *r)
{
    struct slice text = SLICE_EMPTY;
    if (!read_text(r, &text))
        return NULL;
    char *copy = take(r, text.len + 1);
    if (copy != NULL)
        memcpy(copy, text.data, text.len);
    return copy;
}

static bool
store_whole(const ProtobufCFieldDescriptor *field, struct slice text, void *at)
{
    bool is_negative = false;
    uint64_t magnitude = 0;
    if (!protojson_whole(text, &is_negative, &magnitude))
        return false;
    const uint64_t most = is_negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    const int64_t number = (int64_t)(is_negative ? 0 - magnitude : magnitude);
    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_INT64:
        *(int64_t *)at = number;
        return magnitude <= most;
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)at = magnitude;
        return !is_negative;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)at = (uint32_t)magnitude;
        return !is_negative && magnitude <= UINT32_MAX;
    case PROTOBUF_C_TYPE_INT32:
        *(int32_t *)at = (int32_t)number;
        return magnitude <= most && number >= INT32_MIN && number <= INT32_MAX;
    default:
        return false;
    }
}

static bool
store_real(const ProtobufCFieldDescriptor *field, struct slice text, void *at)
{
    double number;
    if (slice_eq(text, SLICE("NaN")))
        number = (double)NAN;
    else if (slice_eq(text, SLICE("Infinity")))
        number = (double)INFINITY;
    else if (slice_eq(text, SLICE("-Infinity")))
        number = -(double)INFINITY;
    else if (!number_to_double(text, &number))
        return false;
    if (field->type == PROTOBUF_C_TYPE_DOUBLE)
        *(double *)at = number;
    else
        *(float *)at = (float)number;
    return true;
}

/* A number, which may stand in quotes. */
static bool
read_number(struct reader *r, const ProtobufCFieldDescriptor *field, void *at)
{
    struct slice raw, text;
    enum json_type type = json_peek(&r->json);
    size_t begin = r->json.at;
    if (!json_skip(&r->json, &raw))
        return false;
    text = raw;
    if (type == JSON_STRING && raw.len >= 2) /* digits need no decoding */
        text = slice_of(raw.data + 1, raw.len - 2);
    bool is_real = field->type == PROTOBUF_C_TYPE_DOUBLE || field->type == PROTOBUF_C_TYPE_FLOAT;
    if ((type == JSON_STRING || type == JSON_NUMBER) &&
        (is_real ? store_real(field, text, at) : store_whole(field, text, at)))
        return true;
    return wrong_value(r, field, begin, raw);
}

static bool
read_bool(struct reader *r, const ProtobufCFieldDescriptor *field, protobuf_c_boolean *ret)
{
    struct slice raw;
    enum json_type type = json_peek(&r->json);
    size_t begin = r->json.at;
    if (!json_skip(&r->json, &raw))
        return false;
    if (type != JSON_BOOL)
        return wrong_value(r, field, begin, raw);
    *ret = slice_eq(raw, SLICE("true"));
    return true;
}

static bool
read_bytes(struct reader *r, const ProtobufCFieldDescriptor *field, ProtobufCBinaryData *ret)
{
    struct slice text = SLICE_EMPTY, bytes;
    (void)json_peek(&r->json); /* to where the value begins */
    size_t begin = r->json.at;
    if (!read_text(r, &text))
        return false;
    if (!protojson_base64(r->arena, text, &bytes))
        return wrong_value(r, field, begin, text);
    *ret = pb_bytes(bytes);
    return true;
}

/* One value of a field, whatever its label is, to where it belongs. */
static bool
read_value(struct reader *r, const ProtobufCFieldDescriptor *field, void *at)
{
    if (r->wrong.len > 0)
        return skip(r);
    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return (*(ProtobufCMessage **)at = read_message(r, field->descriptor)) != NULL;
    case PROTOBUF_C_TYPE_STRING: {
        (void)json_peek(&r->json); /* to where the value begins */
        struct json before = r->json;
        struct slice raw;
        if (json_peek(&before) != JSON_STRING && json_skip(&before, &raw)) {
            (void)wrong_value(r, field, r->json.at, raw); /* remembered */
            return skip(r);
        }
        return (*(char **)at = read_str(r)) != NULL;
    }
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, field, at);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, field, at);
    default:
        return read_number(r, field, at);
    }
}

/* --- lists and maps ----------------------------------------------------------------------------*/

static size_t
bytes_of(const ProtobufCFieldDescriptor *field)
{
    switch ((int)field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

/* Items as they come. */
struct items {
    char *data;
    size_t count;
    size_t capacity;
};

/* Room for one more; NULL if it is too much. */
static void *
items_add(struct reader *r, struct items *items, size_t item_bytes)
{
    if (items->count == items->capacity) {
        size_t more = items->capacity == 0 ? 4 : items->capacity * 2;
        char *data = take(r, more * item_bytes);
        if (data == NULL)
            return NULL;
        if (items->count > 0)
            memcpy(data, items->data, items->count * item_bytes);
        items->data = data;
        items->capacity = more;
    }
    return items->data + items->count++ * item_bytes;
}

static bool
read_list(struct reader *r, const ProtobufCFieldDescriptor *field, struct items *items)
{
    if (json_peek(&r->json) != JSON_ARRAY)
        return skip_unexpected(r);
    json_enter(&r->json);
    while (json_array_next(&r->json)) {
        void *at = r->wrong.len > 0 ? NULL : items_add(r, items, bytes_of(field));
        if (at == NULL)
            (void)skip(r); /* the parser remembers a failure */
        else
            (void)read_value(r, field, at); /* and so is another */
    }
    return !r->json.failed;
}

/* All entries of maps begin with their key. */
struct entry {
    ProtobufCMessage base;
    char *key;
};

static int
compare_keys(const void *a, const void *b)
{
    const struct entry *one = *(const struct entry *const *)a;
    const struct entry *other = *(const struct entry *const *)b;
    return strcmp(one->key, other->key);
}

/* In the order of their keys, so that one that comes twice is found. */
static void
check_keys(struct reader *r, const struct items *items)
{
    struct entry **entries = (struct entry **)(void *)items->data;
    if (items->count < 2 || r->wrong.len > 0)
        return;
    qsort(entries, items->count, sizeof *entries, compare_keys);
    for (size_t i = 1; i < items->count && r->wrong.len == 0; i++)
        if (strcmp(entries[i - 1]->key, entries[i]->key) == 0)
            (void)complain(r, r->json.at, "duplicate map key ", slice_str(entries[i]->key));
}

static bool
read_entry(struct reader *r, const ProtobufCMessageDescriptor *type, struct slice key,
           struct items *items)
{
    ProtobufCMessage **at = items_add(r, items, sizeof *at);
    ProtobufCMessage *entry = at == NULL ? NULL : take(r, type->sizeof_message);
    char *copy = entry == NULL ? NULL : take(r, key.len + 1);
    if (copy == NULL)
        return skip(r);
    protobuf_c_message_init(type, entry);
    memcpy(copy, key.data, key.len);
    ((struct entry *)(void *)entry)->key = copy;
    *at = entry;
    if (slice_find_byte(key, '\0') >= 0)
        (void)complain(r, r->json.at, "a text may not hold U+0000", SLICE_EMPTY);
    return read_value(r, &type->fields[1], (char *)entry + type->fields[1].offset);
}

static bool
read_map(struct reader *r, const ProtobufCMessageDescriptor *type, struct items *items)
{
    struct slice key;
    assert(type->fields[0].type == PROTOBUF_C_TYPE_STRING);
    assert(type->fields[0].offset == offsetof(struct entry, key));
    if (json_peek(&r->json) != JSON_OBJECT)
        return skip_unexpected(r);
    if (!enter(r))
        return skip(r);
    json_enter(&r->json);
    while (json_object_next(&r->json, r->arena, &key)) {
        if (r->wrong.len > 0)
            (void)skip(r); /* the parser remembers a failure */
        else
            (void)read_entry(r, type, key, items); /* likewise */
    }
    leave(r);
    check_keys(r, items);
    return !r->json.failed;
}

/* --- messages with a form of their own ---------------------------------------------------------*/

static bool
read_struct(struct reader *r, Google__Protobuf__Struct *ret)
{
    struct items items = { 0 };
    bool is_read = read_map(r, &google__protobuf__struct__fields_entry__descriptor, &items);
    ret->fields = (Google__Protobuf__Struct__FieldsEntry **)(void *)items.data;
    ret->n_fields = items.count;
    return is_read;
}

static bool
read_list_value(struct reader *r, Google__Protobuf__ListValue *ret)
{
    struct items items = { 0 };
    bool is_read = read_list(r, &google__protobuf__list_value__descriptor.fields[0], &items);
    ret->values = (Google__Protobuf__Value **)(void *)items.data;
    ret->n_values = items.count;
    return is_read;
}

/* The parts of a oneof lie at one place. */
static bool
read_any_value(struct reader *r, Google__Protobuf__Value *ret)
{
    const ProtobufCMessageDescriptor *type = &google__protobuf__value__descriptor;
    static const struct {
        enum json_type json;
        uint32_t id;
    } kinds[] = {
        { JSON_NULL, GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE },
        { JSON_NUMBER, GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE },
        { JSON_STRING, GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE },
        { JSON_BOOL, GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE },
        { JSON_OBJECT, GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE },
        { JSON_ARRAY, GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE },
    };
    enum json_type json = json_peek(&r->json);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].json != json)
            continue;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
            type, kinds[i].id);
        ret->kind_case = (Google__Protobuf__Value__KindCase)kinds[i].id;
        return json == JSON_NULL ? skip(r) : read_value(r, field, (char *)ret + field->offset);
    }
    return skip(r);
}

/* "-3.5s": at most nine digits behind the point. */
static bool
duration_of(struct slice text, Google__Protobuf__Duration *ret)
{
    enum { NANO_DIGITS = 9 };
    static const uint64_t seconds_max = 315576000000;
    struct slice whole, fraction = SLICE_EMPTY;
    bool is_negative = slice_has_prefix(text, SLICE("-"));
    if (!slice_has_suffix(text, SLICE("s")))
        return false;
    text = slice_first(slice_from(text, is_negative ? 1 : 0), text.len - (is_negative ? 2 : 1));
    whole = text;
    ptrdiff_t point = slice_find_byte(text, '.');
    if (point >= 0) {
        whole = slice_first(text, (size_t)point);
        fraction = slice_from(text, (size_t)point + 1);
    }
    uint64_t seconds, nanos = 0;
    if (!slice_to_u64(whole, &seconds) || seconds > seconds_max || fraction.len > NANO_DIGITS ||
        (point >= 0 && !slice_to_u64(fraction, &nanos)))
        return false;
    for (size_t i = fraction.len; i < NANO_DIGITS && point >= 0; i++)
        nanos *= 10;
    ret->seconds = is_negative ? -(int64_t)seconds : (int64_t)seconds;
    ret->nanos = is_negative ? -(int32_t)nanos : (int32_t)nanos;
    return true;
}

static bool
read_duration(struct reader *r, Google__Protobuf__Duration *ret)
{
    struct slice text = SLICE_EMPTY;
    (void)json_peek(&r->json); /* to where the value begins */
    size_t at = r->json.at;
    return read_text(r, &text) &&
           (duration_of(text, ret) ||
            complain(r, at, "invalid google.protobuf.Duration value ", text));
}

/* --- Any ---------------------------------------------------------------------------------------*/

/* Looks through an object for its `@type`, and for where its `value` stands. */
static bool
find_type(struct reader *r, struct slice *ret_url, struct json *ret_value, bool *ret_has_value)
{
    struct slice name;
    size_t at = r->json.at;
    bool has_type = false;
    *ret_url = SLICE_EMPTY;
    *ret_has_value = false;
    json_enter(&r->json);
    while (json_object_next(&r->json, r->arena, &name)) {
        if (slice_eq(name, SLICE("@type")) && r->wrong.len == 0) {
            if (has_type)
                (void)complain(r, r->json.at, "duplicate \"@type\" field", SLICE_EMPTY);
            has_type = true;
            (void)read_text(r, ret_url); /* the parser and `wrong` remember failures */
            continue;
        }
        if (slice_eq(name, SLICE("value")) && !*ret_has_value) {
            *ret_has_value = true;
            *ret_value = r->json;
        }
        (void)skip(r); /* likewise */
    }
    if (!r->json.failed && r->wrong.len == 0 && *ret_has_value && !has_type)
        (void)complain(r, at, "missing \"@type\" field", SLICE_EMPTY);
    return !r->json.failed && r->wrong.len == 0;
}

static bool
read_any(struct reader *r, Google__Protobuf__Any *ret)
{
    struct slice url;
    struct json value, after;
    bool has_value;
    if (json_peek(&r->json) != JSON_OBJECT)
        return skip_unexpected(r);
    size_t at = r->json.at;
    if (!find_type(r, &url, &value, &has_value))
        return !r->json.failed;
    if (url.len == 0)
        return true; /* {} */
    const ProtobufCMessageDescriptor *type = protojson_type(url);
    if (type == NULL)
        return complain(r, at, "unable to resolve ", url);
    if (!has_value)
        return complain(r, at, "missing \"value\" field", SLICE_EMPTY);
    after = r->json;
    r->json = value;
    ProtobufCMessage *content = read_message(r, type);
    r->json = after;
    if (content == NULL)
        return false;
    struct slice packed = pb_pack(r->arena, content);
    if (take(r, packed.len) == NULL || (ret->type_url = take(r, url.len + 1)) == NULL)
        return false;
    memcpy(ret->type_url, url.data, url.len);
    ret->value = pb_bytes(packed);
    return true;
}

/* --- messages ----------------------------------------------------------------------------------*/

/* Whether JSON calls a field so: in camel case, or as the message does. */
static bool
is_called(const ProtobufCFieldDescriptor *field, struct slice name)
{
    const char *own = field->name;
    size_t i = 0;
    if (slice_eq(name, slice_str(own)))
        return true;
    for (; *own != '\0'; own++) {
        char c = *own;
        if (c == '_' && own[1] >= 'a' && own[1] <= 'z')
            c = (char)(*++own - 'a' + 'A');
        if (i >= name.len || name.data[i++] != c)
            return false;
    }
    return i == name.len;
}

static const ProtobufCFieldDescriptor *
find_field(const ProtobufCMessageDescriptor *type, struct slice name)
{
    for (unsigned i = 0; i < type->n_fields; i++)
        if (is_called(&type->fields[i], name))
            return &type->fields[i];
    return NULL;
}

static bool
read_repeated(struct reader *r, const ProtobufCFieldDescriptor *field, char *message)
{
    struct items items = { 0 };
    bool is_read = protojson_is_map(field) ? read_map(r, field->descriptor, &items)
                                           : read_list(r, field, &items);
    *(size_t *)(void *)(message + field->quantifier_offset) = items.count;
    *(void **)(void *)(message + field->offset) = items.data;
    return is_read;
}

static bool
read_member(struct reader *r, const ProtobufCMessageDescriptor *type, struct slice name,
            char *message, uint64_t *seen)
{
    const ProtobufCFieldDescriptor *field = find_field(type, name);
    bool is_value = field != NULL && field->descriptor == &google__protobuf__value__descriptor;
    if (r->wrong.len > 0 || field == NULL || (json_peek(&r->json) == JSON_NULL && !is_value))
        return skip(r);
    const uint64_t bit = UINT64_C(1) << (field - type->fields);
    if ((*seen & bit) != 0)
        (void)complain(r, r->json.at, "duplicate field ", name);
    *seen |= bit;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return read_repeated(r, field, message);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t *which = (uint32_t *)(void *)(message + field->quantifier_offset);
        if (*which != 0)
            (void)complain(r, r->json.at, "a oneof is already set: ", name);
        *which = field->id;
    }
    return read_value(r, field, message + field->offset);
}

static bool
read_members(struct reader *r, const ProtobufCMessageDescriptor *type, ProtobufCMessage *message)
{
    struct slice name;
    uint64_t seen = 0;
    assert(type->n_fields <= 64);
    if (json_peek(&r->json) != JSON_OBJECT)
        return skip_unexpected(r);
    json_enter(&r->json);
    while (json_object_next(&r->json, r->arena, &name))
        (void)read_member(r, type, name, (char *)message, &seen); /* failures are remembered */
    return !r->json.failed;
}

static bool
read_into(struct reader *r, const ProtobufCMessageDescriptor *type, ProtobufCMessage *message)
{
    void *as = message;
    if (type == &google__protobuf__any__descriptor)
        return read_any(r, as);
    if (type == &google__protobuf__struct__descriptor)
        return read_struct(r, as);
    if (type == &google__protobuf__value__descriptor)
        return read_any_value(r, as);
    if (type == &google__protobuf__list_value__descriptor)
        return read_list_value(r, as);
    if (type == &google__protobuf__duration__descriptor)
        return read_duration(r, as);
    if (protojson_is_wrapper(type))
        return read_value(r, &type->fields[0], (char *)message + type->fields[0].offset);
    return read_members(r, type, message);
}

/* NULL if it is of no use, which has been said; a value has been passed then too. */
static ProtobufCMessage *
read_message(struct reader *r, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = NULL;
    if (!enter(r)) {
        (void)skip(r); /* the parser remembers a failure */
        return NULL;
    }
    message = take(r, type->sizeof_message);
    if (message == NULL) {
        (void)skip(r); /* likewise */
    } else {
        protobuf_c_message_init(type, message);
        (void)read_into(r, type, message); /* and so does `wrong` */
    }
    leave(r);
    return r->json.failed || r->wrong.len > 0 ? NULL : message;
}

void *
protojson_read(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct slice text,
               struct slice *ret_words)
{
    struct reader r = { .arena = arena,
                        .left = LIMIT_grpc_unpack_base_bytes + LIMIT_grpc_unpack_factor * text.len,
                        .depth_left = LIMIT_grpc_depth_max,
                        .wrong = SLICE_EMPTY };
    json_init(&r.json, text);
    void *message = read_message(&r, descriptor);
    struct slice syntax = protojson_syntax(arena, &r.json);
    *ret_words = syntax.len > 0 ? syntax : r.wrong;
    return ret_words->len > 0 ? NULL : message;
}
