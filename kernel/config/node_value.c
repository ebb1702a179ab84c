/* SPDX-License-Identifier: Apache-2.0 */
/* What a scalar means by the YAML 1.1 rules of the reference's library; see node.h. */
#include "config/node.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "config/number.h"

enum scalar_type { SCALAR_TEXT, SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_UINT, SCALAR_FLOAT };

struct scalar {
    enum scalar_type type;
    bool boolean;
    int64_t i64;
    uint64_t u64;
    double number;
};

static const struct word {
    const char *text;
    enum scalar_type type;
    bool boolean;
} words[] = {
    { "", SCALAR_NULL, false },      { "~", SCALAR_NULL, false },
    { "null", SCALAR_NULL, false },  { "Null", SCALAR_NULL, false },
    { "NULL", SCALAR_NULL, false },  { "true", SCALAR_BOOL, true },
    { "True", SCALAR_BOOL, true },   { "TRUE", SCALAR_BOOL, true },
    { "false", SCALAR_BOOL, false }, { "False", SCALAR_BOOL, false },
    { "FALSE", SCALAR_BOOL, false }, { "y", SCALAR_BOOL, true },
    { "Y", SCALAR_BOOL, true },      { "yes", SCALAR_BOOL, true },
    { "Yes", SCALAR_BOOL, true },    { "YES", SCALAR_BOOL, true },
    { "on", SCALAR_BOOL, true },     { "On", SCALAR_BOOL, true },
    { "ON", SCALAR_BOOL, true },     { "n", SCALAR_BOOL, false },
    { "N", SCALAR_BOOL, false },     { "no", SCALAR_BOOL, false },
    { "No", SCALAR_BOOL, false },    { "NO", SCALAR_BOOL, false },
    { "off", SCALAR_BOOL, false },   { "Off", SCALAR_BOOL, false },
    { "OFF", SCALAR_BOOL, false },
};

enum { NUMBER_CHARS_MAX = 400 };

/* Underscores separate digits; they are dropped before anything else is looked at. */
static struct slice
without_underscores(struct slice text, char out[NUMBER_CHARS_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != '_')
            out[len++] = text.data[i];
    return slice_of(out, len);
}

static struct scalar
resolve_number(struct slice text)
{
    struct scalar s = { .type = SCALAR_TEXT };
    char copy[NUMBER_CHARS_MAX];
    if (text.len > NUMBER_CHARS_MAX)
        return s;
    struct slice plain = text.data[0] == '.' ? text : without_underscores(text, copy);
    if (text.data[0] != '.') {
        if (number_to_i64(plain, &s.i64) == NUMBER_OK)
            s.type = SCALAR_INT;
        else if (number_to_u64(plain, &s.u64) == NUMBER_OK)
            s.type = SCALAR_UINT;
    }
    if (s.type == SCALAR_TEXT && number_to_double(plain, &s.number))
        s.type = SCALAR_FLOAT;
    return s;
}

static struct scalar
resolve(const struct node *node)
{
    struct scalar s = { .type = SCALAR_TEXT };
    if (!node->is_plain)
        return s;
    for (size_t i = 0; i < ARRAY_LEN(words) && node->text.len <= 5; i++)
        if (slice_eq(node->text, slice_str(words[i].text)))
            return (struct scalar){ .type = words[i].type, .boolean = words[i].boolean };
    if (node->text.len > 0 && slice_find_byte(SLICE("+-.0123456789"), node->text.data[0]) >= 0)
        return resolve_number(node->text);
    return s;
}

bool
node_is_null(const struct node *node)
{
    return node->type == NODE_SCALAR && resolve(node).type == SCALAR_NULL;
}

const char *
node_what(const struct node *node)
{
    if (node->type != NODE_SCALAR)
        return node->type == NODE_MAP ? "a map" : "a list";
    switch (resolve(node).type) {
    case SCALAR_TEXT:
        return "text";
    case SCALAR_NULL:
        return "null";
    case SCALAR_BOOL:
        return "a bool";
    case SCALAR_INT:
    case SCALAR_UINT:
    case SCALAR_FLOAT:
        break;
    }
    return "a number";
}

/* `as_json` chooses between the two ways Go prints a float. */
static struct slice
print_scalar(struct arena *arena, const struct node *node, bool as_json)
{
    char text[NUMBER_TEXT_BYTES];
    struct scalar s = resolve(node);
    switch (s.type) {
    case SCALAR_TEXT:
        return arena_dup(arena, node->text);
    case SCALAR_NULL:
        return SLICE_EMPTY;
    case SCALAR_BOOL:
        return s.boolean ? SLICE("true") : SLICE("false");
    case SCALAR_INT:
        return arena_printf(arena, "%lld", (long long)s.i64);
    case SCALAR_UINT:
        return arena_printf(arena, "%llu", (unsigned long long)s.u64);
    case SCALAR_FLOAT:
        break;
    }
    return arena_dup(arena,
                     as_json ? number_print_json(s.number, text) : number_print_g(s.number, text));
}

bool
node_text(struct arena *arena, const struct node *node, struct slice *ret_text)
{
    if (node->type != NODE_SCALAR)
        return false;
    *ret_text = print_scalar(arena, node, false);
    return true;
}

bool
node_bool(const struct node *node, bool *ret_value)
{
    if (node->type != NODE_SCALAR)
        return false;
    struct scalar s = resolve(node);
    if (s.type == SCALAR_BOOL)
        *ret_value = s.boolean;
    return s.type == SCALAR_BOOL || (s.type == SCALAR_TEXT && slice_to_bool(node->text, ret_value));
}

/* ------------------------------------------------------------------------------------- JSON */

/* Go sorts the keys of a map. Equal keys keep their order, so that the last of them is the last. */
static int
by_key(const void *a, const void *b)
{
    const struct node_item *const *x = a, *const *y = b;
    int order = slice_cmp((*x)->key, (*y)->key);
    if (order != 0)
        return order;
    return ((*x)->value->line > (*y)->value->line) - ((*x)->value->line < (*y)->value->line);
}

static bool write_json(struct arena *arena, struct buf *out, const struct node *node);

static bool
write_map(struct arena *arena, struct buf *out, const struct node *node)
{
    /* Aliases may bring one map here many times, and duplicate keys print nothing. */
    if (arena->total_bytes > 16u * LIMIT_resource_json_bytes_max)
        return false;
    const struct node_item **sorted = ARENA_ARRAY(arena, const struct node_item *, node->count + 1);
    size_t count = 0;
    for (const struct node_item *item = node->items; item != NULL; item = item->next)
        sorted[count++] = item;
    qsort(sorted, count, sizeof *sorted, by_key);
    bool ok = buf_append_byte(out, '{'), is_first = true;
    for (size_t i = 0; i < count && ok; i++) {
        if (i + 1 < count && slice_eq(sorted[i]->key, sorted[i + 1]->key))
            continue; /* of duplicates the last counts */
        ok = (is_first || buf_append_byte(out, ',')) &&
             json_write_string(out, sorted[i]->key, true) && buf_append_byte(out, ':') &&
             write_json(arena, out, sorted[i]->value);
        is_first = false;
    }
    return ok && buf_append_byte(out, '}');
}

static bool
write_list(struct arena *arena, struct buf *out, const struct node *node)
{
    bool ok = buf_append_byte(out, '[');
    for (const struct node_item *item = node->items; item != NULL && ok; item = item->next)
        ok = (item == node->items || buf_append_byte(out, ',')) &&
             write_json(arena, out, item->value);
    return ok && buf_append_byte(out, ']');
}

/* Recursion is bounded by the depth of the tree, size by the buffer: shared nodes count each time.
 */
static bool
write_json(struct arena *arena, struct buf *out, const struct node *node)
{
    if (node->type == NODE_MAP)
        return write_map(arena, out, node);
    if (node->type == NODE_LIST)
        return write_list(arena, out, node);
    enum scalar_type type = resolve(node).type;
    if (type == SCALAR_TEXT)
        return json_write_string(out, node->text, true);
    return buf_append(out, type == SCALAR_NULL ? SLICE("null") : print_scalar(arena, node, true));
}

bool
node_value(struct arena *arena, const struct node *node, struct slice *ret_text)
{
    if (node->type == NODE_SCALAR) {
        *ret_text = print_scalar(arena, node, true);
        return true;
    }
    struct buf out;
    buf_init(&out, LIMIT_resource_json_bytes_max);
    struct arena scratch;
    arena_init(&scratch);
    bool ok = write_json(&scratch, &out, node);
    if (ok)
        *ret_text = arena_dup(arena, buf_slice(&out));
    arena_fini(&scratch);
    buf_fini(&out);
    return ok;
}
