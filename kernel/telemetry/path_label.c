/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting and matching of paths; see path_label.h. */
#include "telemetry/path_label.h"

#include <stdlib.h>

#include "base/limits.h"

#define INVOKE SLICE("/v1.0/invoke/{app_id}/method")

/* --- cutting -----------------------------------------------------------------------------------*/

/* Where segment `index` (from 0) of a path with a leading slash begins; the length if it has fewer.
 * The slash before it belongs to it. */
static size_t
segment_at(struct slice path, size_t index)
{
    size_t seen = 0;
    for (size_t i = 0; i < path.len; i++)
        if (path.data[i] == '/' && seen++ == index)
            return i;
    return path.len;
}

/* "/a/b/c/d…" with segment `index` replaced and nothing kept beyond segment `last`. */
static struct slice
replaced(struct arena *arena, struct slice path, size_t index, const char *with, size_t last)
{
    size_t from = segment_at(path, index), to = segment_at(path, index + 1);
    struct slice head = slice_first(path, from);
    struct slice tail = slice_from(slice_first(path, segment_at(path, last + 1)), to);
    return arena_printf(arena, SLICE_FMT "/%s" SLICE_FMT, SLICE_ARG(head), with, SLICE_ARG(tail));
}

static struct slice
segment(struct slice path, size_t index)
{
    size_t from = segment_at(path, index), to = segment_at(path, index + 1);
    return from == to ? SLICE_EMPTY : slice_of(path.data + from + 1, to - from - 1);
}

/* What the reference cuts, and nothing else: names of components and apps stay, keys and ids go. */
static struct slice
cut(struct arena *arena, struct slice path)
{
    struct slice block = segment(path, 1);
    if (segment_at(path, 2) == path.len)
        return path;
    if (slice_eq(segment(path, 0), SLICE("actors")))
        return replaced(arena, path, 2, "{id}", 5);
    if (slice_eq(block, SLICE("state")) || slice_eq(block, SLICE("secrets")))
        return slice_first(path, segment_at(path, 3));
    if (slice_eq(block, SLICE("actors")) && segment_at(path, 4) < path.len)
        return replaced(arena, path, 3, "{id}", 4);
    if (slice_eq(block, SLICE("workflows")) && segment_at(path, 3) < path.len)
        return replaced(arena, path, 3, "{instanceId}", 3);
    return path;
}

/* --- templates ---------------------------------------------------------------------------------*/

enum part { PART_LITERAL, PART_ONE, PART_REST, PART_END };

/* What a segment of a template stands for; an empty one is what follows a slash at the end. */
static enum part
part_of(struct slice segment, bool is_last)
{
    if (segment.len == 0)
        return is_last ? PART_REST : PART_LITERAL;
    if (segment.data[0] != '{' || segment.data[segment.len - 1] != '}')
        return PART_LITERAL;
    if (slice_eq(segment, SLICE("{$}")))
        return PART_END;
    return slice_has_suffix(segment, SLICE("...}")) ? PART_REST : PART_ONE;
}

/* Takes the next segment of "/a/b" without its slash. */
static bool
next(struct slice *rest, struct slice *ret_segment)
{
    if (rest->len == 0 || rest->data[0] != '/')
        return false;
    struct slice tail = slice_from(*rest, 1);
    ptrdiff_t slash = slice_find_byte(tail, '/');
    *ret_segment = slash < 0 ? tail : slice_first(tail, (size_t)slash);
    *rest = slice_from(tail, ret_segment->len);
    return true;
}

static bool
matches(struct slice template, struct slice path)
{
    struct slice wanted, got;
    while (next(&template, &wanted)) {
        enum part part = part_of(wanted, template.len == 0);
        if (part == PART_REST)
            return path.len > 0;
        if (part == PART_END)
            return slice_eq(path, SLICE("/"));
        if (!next(&path, &got) || (part == PART_ONE && got.len == 0) ||
            (part == PART_LITERAL && !slice_eq(wanted, got)))
            return false;
    }
    return path.len == 0;
}

/* The more exact template first: at the first difference a literal stands before `{one}`, that
 * before the rest. */
static int
compare(const void *left, const void *right)
{
    struct slice a = *(const struct slice *)left, b = *(const struct slice *)right, x, y;
    for (;;) {
        bool has_x = next(&a, &x), has_y = next(&b, &y);
        if (!has_x || !has_y)
            return (int)has_y - (int)has_x; /* the longer one asks for more */
        enum part p = part_of(x, a.len == 0), q = part_of(y, b.len == 0);
        if (p != q)
            return p < q ? -1 : 1;
        int order = p == PART_LITERAL ? slice_cmp(x, y) : 0;
        if (order != 0)
            return order;
    }
}

void
path_rules_init(struct path_rules *rules, struct arena *arena, const struct slice *templates,
                size_t count)
{
    if (count > LIMIT_metric_templates_max)
        count = LIMIT_metric_templates_max;
    rules->templates = ARENA_ARRAY(arena, struct slice, count * 2 + 1);
    rules->template_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice t = slice_trim(templates[i]);
        if (t.len == 0)
            continue;
        if (t.data[0] != '/')
            t = arena_printf(arena, "/" SLICE_FMT, SLICE_ARG(t));
        rules->templates[rules->template_count++] = t;
        if (!slice_has_prefix(t, SLICE("/v1.0")))
            rules->templates[rules->template_count++] = arena_printf(
                arena, SLICE_FMT SLICE_FMT, SLICE_ARG(INVOKE), SLICE_ARG(t));
    }
    if (rules->template_count > 1)
        qsort(rules->templates, rules->template_count, sizeof *rules->templates, compare);
}

/* --- labels ------------------------------------------------------------------------------------*/

struct slice
path_label(const struct path_rules *rules, struct arena *arena, struct slice path)
{
    for (size_t i = 0; i < rules->template_count; i++)
        if (matches(rules->templates[i], path))
            return rules->templates[i];
    return rules->is_low ? SLICE_EMPTY : cut(arena, path);
}

struct slice
method_label(const struct path_rules *rules, struct slice method)
{
    static const char *const methods[] = { "GET",   "POST",    "PUT",     "DELETE", "HEAD",
                                           "PATCH", "OPTIONS", "CONNECT", "TRACE" };
    if (rules->excludes_verbs)
        return SLICE_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (slice_eq(method, slice_str(methods[i])))
            return method;
    return SLICE("OTHER");
}
