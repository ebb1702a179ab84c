/* SPDX-License-Identifier: Apache-2.0 */
/* Values of expressions, mostly spans of the event's JSON; see internal.h. */
#include <stdlib.h>

#include "base/json.h"
#include "cel/internal.h"

enum { NUMBER_CHARS_MAX = 64 };

struct cel_value
cel_fail(struct cel_run *run, const char *error)
{
    if (run->error == NULL)
        run->error = error;
    return (struct cel_value){ .type = CEL_ERROR };
}

struct cel_value
cel_bool(bool truth)
{
    return (struct cel_value){ .type = CEL_BOOL, .truth = truth };
}

struct cel_value
cel_int(int64_t number)
{
    return (struct cel_value){ .type = CEL_INT, .number = number };
}

struct cel_value
cel_text(struct slice text)
{
    return (struct cel_value){ .type = CEL_STRING, .text = text };
}

void *
cel_alloc(struct cel_run *run, size_t bytes)
{
    if (bytes > CEL_BYTES_MAX - run->bytes) {
        (void)cel_fail(run, "the evaluation takes too much memory");
        return NULL;
    }
    run->bytes += bytes;
    return arena_alloc(run->arena, bytes);
}

/* --- JSON --------------------------------------------------------------------------------------*/

/* All numbers of an event are doubles, as in the reference. */
static struct cel_value
number_of(struct cel_run *run, struct slice raw)
{
    char text[NUMBER_CHARS_MAX + 1];
    if (raw.len > NUMBER_CHARS_MAX)
        return cel_fail(run, "a number is too long");
    memcpy(text, raw.data, raw.len);
    text[raw.len] = '\0';
    return (struct cel_value){ .type = CEL_DOUBLE, .real = strtod(text, NULL) };
}

static struct cel_value
string_of(struct cel_run *run, struct slice raw)
{
    struct json json;
    struct slice text;
    if (raw.len > CEL_BYTES_MAX - run->bytes)
        return cel_fail(run, "the evaluation takes too much memory");
    run->bytes += raw.len;
    json_init(&json, raw);
    return json_string(&json, run->arena, &text) ? cel_text(text)
                                                 : cel_fail(run, "the event is no JSON");
}

struct cel_value
cel_of_json(struct cel_run *run, struct slice text)
{
    struct json json;
    struct slice raw;
    json_init(&json, text);
    enum json_type type = json_peek(&json);
    switch (type) {
    case JSON_NULL:
        return (struct cel_value){ .type = CEL_NULL };
    case JSON_BOOL:
        return cel_bool(json_scalar(&json, &raw) && slice_eq(raw, SLICE("true")));
    case JSON_NUMBER:
        return json_scalar(&json, &raw) ? number_of(run, raw)
                                        : cel_fail(run, "the event is no JSON");
    case JSON_STRING:
        return string_of(run, text);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return (struct cel_value){ .type = type == JSON_ARRAY ? CEL_LIST : CEL_MAP, .text = text };
    case JSON_NONE:
    default:
        return cel_fail(run, "the event is no JSON");
    }
}

/* A member of an object that is text; of two with one name the last. */
static struct cel_value
json_member(struct cel_run *run, struct slice text, struct slice name)
{
    struct json json;
    struct slice member, raw, found = { 0 };
    json_init(&json, text);
    if (json_peek(&json) != JSON_OBJECT)
        return cel_fail(run, "the event is no JSON");
    json_enter(&json);
    while (json_object_next(&json, run->arena, &member)) {
        if (!json_skip(&json, &raw))
            break;
        if (slice_eq(member, name))
            found = raw;
    }
    if (json.failed)
        return cel_fail(run, "the event is no JSON");
    if (found.data == NULL)
        return (struct cel_value){ .type = CEL_ERROR };
    return cel_of_json(run, found);
}

struct cel_value
cel_member(struct cel_run *run, const struct cel_value *map, struct slice name)
{
    if (map->items == NULL && map->text.len > 0)
        return json_member(run, map->text, name);
    for (size_t i = 0; map->items != NULL && i + 1 < map->count; i += 2)
        if (map->items[i].type == CEL_STRING && slice_eq(map->items[i].text, name))
            return map->items[i + 1];
    return (struct cel_value){ .type = CEL_ERROR };
}

static size_t
count_members(struct cel_run *run, struct slice text)
{
    struct json json;
    struct slice name, raw;
    size_t count = 0;
    json_init(&json, text);
    bool is_list = json_peek(&json) == JSON_ARRAY;
    json_enter(&json);
    while (is_list ? json_array_next(&json) : json_object_next(&json, run->arena, &name)) {
        if (!json_skip(&json, &raw))
            break;
        count++;
    }
    return count;
}

bool
cel_items(struct cel_run *run, struct cel_value *value)
{
    struct json json;
    struct slice name, raw;
    if (value->items != NULL || value->text.len == 0)
        return true;
    bool is_list = value->type == CEL_LIST;
    size_t count = count_members(run, value->text) * (is_list ? 1 : 2), at = 0;
    struct cel_value *items = cel_alloc(run, (count + 1) * sizeof *items);
    if (items == NULL)
        return false;
    json_init(&json, value->text);
    (void)json_peek(&json); /* known */
    json_enter(&json);
    while (at < count &&
           (is_list ? json_array_next(&json) : json_object_next(&json, run->arena, &name))) {
        if (!json_skip(&json, &raw))
            break;
        if (!is_list)
            items[at++] = cel_text(name);
        items[at++] = cel_of_json(run, raw);
    }
    value->items = items;
    value->count = at;
    return run->error == NULL;
}

/* --- comparing ---------------------------------------------------------------------------------*/

static int
order_of(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool
is_number(const struct cel_value *value)
{
    return value->type == CEL_INT || value->type == CEL_UINT || value->type == CEL_DOUBLE;
}

/* Every number of 64 bits has its place in a long double. */
static long double
amount_of(const struct cel_value *value)
{
    return value->type == CEL_INT    ? (long double)value->number
           : value->type == CEL_UINT ? (long double)value->unsigned_number
                                     : (long double)value->real;
}

bool
cel_compare(struct cel_run *run, const struct cel_value *a, const struct cel_value *b,
            int *ret_order)
{
    if (a->type != b->type && is_number(a) && is_number(b)) {
        long double x = amount_of(a), y = amount_of(b);
        *ret_order = (x > y) - (x < y);
        if (x == x && y == y) // NOLINT: neither is no number
            return true;
        (void)cel_fail(run, "such values have no order");
        return false;
    }
    if (a->type != b->type) {
        (void)cel_fail(run, "values of different types are compared");
        return false;
    }
    switch (a->type) {
    case CEL_BOOL:
        *ret_order = (int)a->truth - (int)b->truth;
        return true;
    case CEL_INT:
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        *ret_order = (a->number > b->number) - (a->number < b->number);
        return true;
    case CEL_UINT:
        *ret_order = (a->unsigned_number > b->unsigned_number) -
                     (a->unsigned_number < b->unsigned_number);
        return true;
    case CEL_DOUBLE:
        *ret_order = (a->real > b->real) - (a->real < b->real);
        if (a->real == a->real && b->real == b->real) // NOLINT: neither is no number
            return true;
        break;
    case CEL_STRING:
    case CEL_BYTES:
        *ret_order = order_of(a->text, b->text);
        return true;
    case CEL_ERROR:
    case CEL_NULL:
    case CEL_LIST:
    case CEL_MAP:
    default:
        break;
    }
    (void)cel_fail(run, "such values have no order");
    return false;
}

static struct cel_value
equal_lists(struct cel_run *run, struct cel_value a, struct cel_value b)
{
    if (!cel_items(run, &a) || !cel_items(run, &b))
        return (struct cel_value){ .type = CEL_ERROR };
    if (a.count != b.count)
        return cel_bool(false);
    for (size_t i = 0; i < a.count; i++) {
        struct cel_value same = cel_equal(run, &a.items[i], &b.items[i]);
        if (same.type != CEL_BOOL || !same.truth)
            return same;
    }
    return cel_bool(true);
}

static struct cel_value
equal_maps(struct cel_run *run, struct cel_value a, struct cel_value b)
{
    if (!cel_items(run, &a) || !cel_items(run, &b))
        return (struct cel_value){ .type = CEL_ERROR };
    if (a.count != b.count)
        return cel_bool(false);
    for (size_t i = 0; i + 1 < a.count; i += 2) {
        struct cel_value other = a.items[i].type == CEL_STRING
                                     ? cel_member(run, &b, a.items[i].text)
                                     : (struct cel_value){ .type = CEL_ERROR };
        if (other.type == CEL_ERROR)
            return cel_bool(false);
        struct cel_value same = cel_equal(run, &a.items[i + 1], &other);
        if (same.type != CEL_BOOL || !same.truth)
            return same;
    }
    return cel_bool(true);
}

/* Numbers are equal by what they amount to, whatever their types; null equals only itself. */
struct cel_value
cel_equal(struct cel_run *run, const struct cel_value *a, const struct cel_value *b)
{
    int order;
    if (++run->steps > CEL_STEPS_MAX)
        return cel_fail(run, "the evaluation takes too long");
    if (a->type == CEL_NULL || b->type == CEL_NULL)
        return cel_bool(a->type == b->type);
    if (a->type == CEL_LIST && b->type == CEL_LIST)
        return equal_lists(run, *a, *b);
    if (a->type == CEL_MAP && b->type == CEL_MAP)
        return equal_maps(run, *a, *b);
    if (is_number(a) && is_number(b))
        return cel_bool(amount_of(a) == amount_of(b));
    return cel_compare(run, a, b, &order) ? cel_bool(order == 0)
                                          : (struct cel_value){ .type = CEL_ERROR };
}
