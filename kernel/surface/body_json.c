/* SPDX-License-Identifier: Apache-2.0 */
/* What bodies of several APIs have in common; see body_json.h. */
#include "surface/body_json.h"

struct body_parser
body_parser_of(struct request *rq, struct slice body, const char *owner)
{
    struct body_parser parser = { .rq = rq, .owner = owner, .wrong = SLICE_EMPTY };
    json_init(&parser.json, slice_trim(body));
    return parser;
}

void
body_wrong_value(struct body_parser *p, enum json_type type, const char *wanted)
{
    if (p->wrong.len == 0)
        p->wrong = arena_printf(p->rq->arena, "json: cannot unmarshal %s into Go value of type %s",
                                json_type_name(type), wanted);
}

void
body_wrong_field(struct body_parser *p, enum json_type type, const char *field, const char *wanted)
{
    if (p->wrong.len == 0)
        p->wrong = arena_printf(p->rq->arena,
                                "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                                json_type_name(type), p->owner, field, wanted);
}

void
body_skip(struct body_parser *p)
{
    struct slice raw;
    (void)json_skip(&p->json, &raw); /* the parser remembers a failure */
}

bool
body_read_text(struct body_parser *p, const char *field, struct slice *ret_text)
{
    enum json_type type = json_peek(&p->json);
    if (type == JSON_STRING && json_string(&p->json, p->rq->arena, ret_text)) {
        p->has_nul |= slice_find_byte(*ret_text, '\0') >= 0;
        return true;
    }
    if (type != JSON_STRING && type != JSON_NULL)
        body_wrong_field(p, type, field, "string");
    if (type != JSON_STRING)
        body_skip(p);
    return false;
}

err_t
body_verdict(struct body_parser *p, const char *prefix)
{
    if (p->json.failed || !json_end(&p->json))
        return fail(p->rq, ERR_MALFORMED_REQUEST, "%s%s", prefix, p->json.error);
    if (p->wrong.len > 0)
        return fail(p->rq, ERR_MALFORMED_REQUEST, "%s" SLICE_FMT, prefix, SLICE_ARG(p->wrong));
    if (p->has_nul)
        return fail(p->rq, ERR_MALFORMED_REQUEST,
                    "names, ETags and metadata must not hold the NUL character");
    return OK;
}

void *
body_grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    size_t more = *capacity == 0 ? 4 : *capacity * 2;
    items = arena_grow(arena, items, *capacity * item_bytes, more * item_bytes);
    *capacity = more;
    return items;
}

void
body_read_metadata(struct body_parser *p, struct pair **ret_pairs, size_t *ret_count)
{
    enum json_type type = json_peek(&p->json);
    *ret_pairs = NULL;
    *ret_count = 0;
    if (type != JSON_OBJECT) {
        if (type != JSON_NULL)
            body_wrong_field(p, type, "metadata", "map[string]string");
        body_skip(p);
        return;
    }
    struct pair *pairs = NULL;
    size_t count = 0, capacity = 0;
    struct slice name;
    json_enter(&p->json);
    while (json_object_next(&p->json, p->rq->arena, &name)) {
        struct slice value = SLICE_EMPTY;
        (void)body_read_text(p, "metadata", &value); /* null is the empty string */
        p->has_nul |= slice_find_byte(name, '\0') >= 0;
        pairs = body_grow(p->rq->arena, pairs, count, &capacity, sizeof *pairs);
        pairs[count++] = (struct pair){ .name = name, .value = value };
    }
    *ret_pairs = pairs;
    *ret_count = count;
}
