/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are flat protobuf messages; see body_proto.h. */
#include "surface/body_proto.h"

#include <assert.h>

#include "api/protojson.h"
#include "base/json.h"

enum { FIELDS_MAX = 32 };

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

static void
complain(struct reader *r, size_t at, const char *words, struct slice shown)
{
    if (r->wrong.len == 0)
        r->wrong = protojson_complaint(r->rq->arena, &r->json, at, words, shown);
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
    bool is_negative;
    uint64_t magnitude;
    enum json_type type = json_peek(&r->json);
    if (!json_skip(&r->json, &raw))
        return;
    text = raw;
    if (type == JSON_STRING && raw.len >= 2) /* digits need no decoding */
        text = slice_of(raw.data + 1, raw.len - 2);
    if ((type != JSON_STRING && type != JSON_NUMBER) ||
        !protojson_whole(text, &is_negative, &magnitude) ||
        magnitude > (uint64_t)INT32_MAX + (is_negative ? 1 : 0))
        wrong_value(r, field, begin_of(r, raw), raw);
    else
        *ret = (int32_t)(is_negative ? -(int64_t)magnitude : (int64_t)magnitude);
}

static void
read_bytes(struct reader *r, const struct body_proto_field *field, struct slice *ret)
{
    struct json before = r->json;
    struct slice raw, text;
    if (!json_skip(&r->json, &raw))
        return;
    bool is_good = json_peek(&before) == JSON_STRING && json_string(&before, r->rq->arena, &text) &&
                   protojson_base64(r->rq->arena, text, ret);
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
    struct slice words = protojson_syntax(rq->arena, &r.json);
    if (words.len == 0)
        words = r.wrong;
    return words.len == 0
               ? OK
               : fail(rq, ERR_MALFORMED_REQUEST,
                      "failed deserializing HTTP body: proto: " SLICE_FMT, SLICE_ARG(words));
}
