/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are flat protobuf messages; see body_proto.h. */
#include "surface/body_proto.h"

#include <assert.h>

#include "base/base64.h"
#include "base/json.h"

enum { FIELDS_MAX = 32, SHOWN_BYTES_MAX = 64 };

struct reader {
    struct request *rq;
    struct json json;
    const struct body_proto_field *fields;
    size_t count;
    uint32_t seen;
    void *ret;
    struct slice wrong; /* the first complaint */
};

/* --- complaints --------------------------------------------------------------------------------*/

/* Lines and columns from 1, as editors have them. */
static struct slice
complaint(struct reader *r, size_t at, const char *words, struct slice shown)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < r->json.text.len; i++) {
        column++;
        if (r->json.text.data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    if (shown.len > SHOWN_BYTES_MAX)
        shown.len = SHOWN_BYTES_MAX;
    return arena_printf(r->rq->arena, "(line %zu:%zu): %s" SLICE_FMT, line, column, words,
                        SLICE_ARG(shown));
}

static void
complain(struct reader *r, size_t at, const char *words, struct slice shown)
{
    if (r->wrong.len == 0)
        r->wrong = complaint(r, at, words, shown);
}

static void
wrong_value(struct reader *r, const struct body_proto_field *field, size_t at, struct slice raw)
{
    static const char *const types[] = { [BODY_PROTO_STRING] = "string",
                                         [BODY_PROTO_INT32] = "int32",
                                         [BODY_PROTO_BYTES] = "bytes",
                                         [BODY_PROTO_ENUM] = "enum" };
    const char *words = arena_printf(r->rq->arena,
                                     "invalid value for %s field %s: ", types[field->type],
                                     field->name)
                            .data;
    complain(r, at, words, raw);
}

/* Where the value begins that json_peek() saw. */
static size_t
begin_of(const struct reader *r, struct slice raw)
{
    return (size_t)(raw.data - r->json.text.data);
}

/* --- values ------------------------------------------------------------------------------------*/

/* A whole number, however it is written: 5, 5.0, 0.5e1, 50e-1. */
static bool
read_whole(struct slice text, int32_t *ret)
{
    enum { DIGITS_MAX = 20, EXPONENT_MAX = 20 };
    bool is_negative = slice_has_prefix(text, SLICE("-"));
    int64_t value = 0, exponent = 0;
    size_t digits = 0, i = is_negative ? 1 : 0;
    bool has_point = false;
    for (; i < text.len && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        if (text.data[i] == '.') {
            has_point = true;
            continue;
        }
        if (text.data[i] < '0' || text.data[i] > '9' || ++digits > DIGITS_MAX ||
            value > INT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (text.data[i] - '0');
        exponent -= has_point ? 1 : 0;
    }
    int64_t written = 0;
    struct slice rest = slice_from(text, i);
    if (rest.len > 0) {
        rest = slice_from(rest, 1);
        rest = slice_has_prefix(rest, SLICE("+")) ? slice_from(rest, 1) : rest;
        if (!slice_to_i64(rest, &written) || written > EXPONENT_MAX || written < -EXPONENT_MAX)
            return false;
    }
    for (exponent += written; exponent > 0; exponent--) {
        if (value > INT32_MAX)
            return false;
        value *= 10;
    }
    for (; exponent < 0; exponent++) {
        if (value % 10 != 0)
            return false;
        value /= 10;
    }
    value = is_negative ? -value : value;
    if (digits == 0 || value > INT32_MAX || value < INT32_MIN)
        return false;
    *ret = (int32_t)value;
    return true;
}

static void
read_text(struct reader *r, const struct body_proto_field *field, struct slice *ret)
{
    struct json before = r->json;
    struct slice raw;
    if (json_peek(&r->json) == JSON_STRING) {
        (void)json_string(&r->json, r->rq->arena, ret); /* the parser remembers a failure */
        return;
    }
    r->json = before;
    if (json_skip(&r->json, &raw))
        wrong_value(r, field, begin_of(r, raw), raw);
}

static void
read_number(struct reader *r, const struct body_proto_field *field, int32_t *ret)
{
    struct slice raw, text;
    enum json_type type = json_peek(&r->json);
    if (!json_skip(&r->json, &raw))
        return;
    text = raw;
    if (type == JSON_STRING && raw.len >= 2) /* digits need no decoding */
        text = slice_of(raw.data + 1, raw.len - 2);
    if ((type != JSON_STRING && type != JSON_NUMBER) || !read_whole(text, ret))
        wrong_value(r, field, begin_of(r, raw), raw);
}

/* Either alphabet, the padding may be left out. */
static bool
decode_base64(struct arena *arena, struct slice text, struct slice *ret_bytes)
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

static void
read_bytes(struct reader *r, const struct body_proto_field *field, struct slice *ret)
{
    struct json before = r->json;
    struct slice raw, text;
    if (!json_skip(&r->json, &raw))
        return;
    bool is_good = json_peek(&before) == JSON_STRING && json_string(&before, r->rq->arena, &text) &&
                   decode_base64(r->rq->arena, text, ret);
    if (!is_good)
        wrong_value(r, field, begin_of(r, raw), raw);
}

static void
read_enum(struct reader *r, const struct body_proto_field *field, struct slice *ret)
{
    struct slice raw;
    if (json_peek(&r->json) != JSON_NUMBER)
        read_text(r, field, ret);
    else if (json_skip(&r->json, &raw))
        *ret = raw;
}

static const struct body_proto_field *
find_field(const struct reader *r, struct slice name)
{
    for (size_t i = 0; i < r->count; i++)
        if (slice_eq(name, slice_str(r->fields[i].name)) ||
            slice_eq(name, slice_str(r->fields[i].own_name)))
            return &r->fields[i];
    return NULL;
}

static void
read_member(struct reader *r, struct slice name)
{
    const struct body_proto_field *field = find_field(r, name);
    struct slice raw;
    bool is_null = json_peek(&r->json) == JSON_NULL;
    if (field == NULL || is_null) {
        (void)json_skip(&r->json, &raw); /* the parser remembers a failure */
        return;
    }
    uint32_t bit = UINT32_C(1) << (field - r->fields);
    if ((r->seen & bit) != 0)
        complain(r, r->json.at, "duplicate field ", name);
    r->seen |= bit;
    char *at = (char *)r->ret + field->offset;
    if (field->type == BODY_PROTO_STRING)
        read_text(r, field, (struct slice *)(void *)at);
    else if (field->type == BODY_PROTO_BYTES)
        read_bytes(r, field, (struct slice *)(void *)at);
    else if (field->type == BODY_PROTO_ENUM)
        read_enum(r, field, (struct slice *)(void *)at);
    else
        read_number(r, field, (int32_t *)(void *)at);
}

/* --- the whole ---------------------------------------------------------------------------------*/

static struct slice
verdict(struct reader *r)
{
    if (!r->json.failed && json_end(&r->json))
        return r->wrong;
    if (r->json.at >= r->json.text.len)
        return SLICE("unexpected EOF");
    struct slice rest = slice_from(r->json.text, r->json.at);
    if (rest.len > 1)
        rest.len = 1;
    return arena_printf(r->rq->arena, "syntax error " SLICE_FMT,
                        SLICE_ARG(complaint(r, r->json.at, "invalid value ", rest)));
}

err_t
body_proto_read(struct request *rq, struct slice body, const struct body_proto_field *fields,
                size_t count, void *ret)
{
    assert(count <= FIELDS_MAX);
    struct reader r = {
        .rq = rq, .fields = fields, .count = count, .ret = ret, .wrong = SLICE("")
    };
    struct slice name, raw;
    json_init(&r.json, body);
    if (json_peek(&r.json) == JSON_OBJECT) {
        json_enter(&r.json);
        while (json_object_next(&r.json, rq->arena, &name))
            read_member(&r, name);
    } else if (json_skip(&r.json, &raw)) {
        complain(&r, begin_of(&r, raw), "unexpected token ", raw);
    }
    struct slice words = verdict(&r);
    return words.len == 0
               ? OK
               : fail(rq, ERR_MALFORMED_REQUEST,
                      "failed deserializing HTTP body: proto: " SLICE_FMT, SLICE_ARG(words));
}
