/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting and matching of paths; see path_label.h. */
#include "telemetry/path_label.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define INVOKE SLICE("/v1.0/invoke/{app_id}/method")

/* --- cutting -----------------------------------------------------------------------------------*/

enum { SEGMENTS_MAX = 6 };

/* "/a/b/c" cut at its slashes: segment i goes from its slash to the next one. The last one that
 * fits has the rest. */
struct segments {
    size_t count;
    size_t at[SEGMENTS_MAX + 1]; /* that of `count` is the end */
};

static void
split(struct slice path, struct segments *ret_segments)
{
    size_t count = 0;
    for (size_t i = 0; i < path.len && count < SEGMENTS_MAX; i++) {
        const char *slash = memchr(path.data + i, '/', path.len - i);
        if (slash == NULL)
            break;
        i = (size_t)(slash - path.data);
        ret_segments->at[count++] = i;
    }
    ret_segments->count = count;
    ret_segments->at[count] = path.len;
}

static bool
is(struct slice path, const struct segments *segments, size_t index, struct slice name)
{
    size_t from = segments->at[index], to = segments->at[index + 1];
    return to - from == name.len + 1 && memcmp(path.data + from + 1, name.data, name.len) == 0;
}

/* With segment `index` replaced and nothing kept from segment `end` on. */
static struct slice
replaced(struct arena *arena, struct slice path, const struct segments *segments, size_t index,
         const char *with, size_t end)
{
    size_t keep = end < segments->count ? segments->at[end] : path.len;
    struct slice head = slice_first(path, segments->at[index]);
    struct slice tail = slice_from(slice_first(path, keep), segments->at[index + 1]);
    return arena_printf(arena, SLICE_FMT "/%s" SLICE_FMT, SLICE_ARG(head), with, SLICE_ARG(tail));
}

/* What the reference cuts, and nothing else: names of components and apps stay, keys and ids go. */
static struct slice
cut(struct arena *arena, struct slice path)
{
    struct segments segments;
    split(path, &segments);
    if (segments.count < 3)
        return path;
    if (is(path, &segments, 0, SLICE("actors")))
        return replaced(arena, path, &segments, 2, "{id}", SEGMENTS_MAX);
    if (is(path, &segments, 1, SLICE("state")) || is(path, &segments, 1, SLICE("secrets")))
        return slice_first(path, segments.at[3]);
    if (is(path, &segments, 1, SLICE("actors")) && segments.count > 4)
        return replaced(arena, path, &segments, 3, "{id}", 5);
    if (is(path, &segments, 1, SLICE("workflows")) && segments.count > 3)
        return replaced(arena, path, &segments, 3, "{instanceId}", 4);
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
