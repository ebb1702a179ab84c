/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations as a tree; see access_trie.h. Segments without wildcards are found by hash, of a node
 * and a segment's lower case, so that a long list costs as little as a short one.
 */
#include "config/access_trie.h"

#include <assert.h>

#include "base/limits.h"

struct access_node {
    const struct access_node *parent;
    struct slice text;
    size_t order;              /* in the tree; siblings compare by it */
    struct access_node *next;  /* of its bucket, or of its parent's patterns: by order */
    struct access_node *first; /* of the children with a wildcard */
    struct access_node *last;
    struct access_rule *rule; /* NULL: only leads to others */
};

struct access_trie {
    struct access_node root;
    struct access_node **buckets;
    size_t mask;
    size_t count;
};

struct access_trie *
access_trie_new(struct arena *arena, size_t segments_max)
{
    struct access_trie *trie = ARENA_NEW(arena, struct access_trie);
    size_t size = 1;
    while (size < segments_max)
        size *= 2;
    trie->buckets = ARENA_ARRAY(arena, struct access_node *, size);
    trie->mask = size - 1;
    return trie;
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* FNV-1a. */
static struct access_node **
bucket_of(const struct access_trie *trie, const struct access_node *parent, struct slice text)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ parent->order;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)lower(text.data[i])) * UINT64_C(1099511628211);
    return &trie->buckets[(hash ^ (hash >> 32)) & trie->mask];
}

/* --- building ----------------------------------------------------------------------------------*/

static struct access_node *
find_exactly(const struct access_trie *trie, const struct access_node *parent, struct slice text)
{
    struct access_node *node = *bucket_of(trie, parent, text);
    for (; node != NULL; node = node->next)
        if (node->parent == parent && slice_eq(node->text, text))
            return node;
    for (node = parent->first; node != NULL; node = node->next)
        if (slice_eq(node->text, text))
            return node;
    return NULL;
}

static struct access_node *
add(struct arena *arena, struct access_trie *trie, struct access_node *parent, struct slice text)
{
    struct access_node *node = ARENA_NEW(arena, struct access_node);
    node->parent = parent;
    node->text = arena_dup(arena, text);
    node->order = ++trie->count;
    struct access_node **end = &parent->first;
    if (slice_find_byte(text, '*') < 0) {
        end = bucket_of(trie, parent, text);
        while (*end != NULL)
            end = &(*end)->next;
    } else if (parent->last != NULL) {
        end = &parent->last->next;
    }
    *end = node;
    if (slice_find_byte(text, '*') >= 0)
        parent->last = node;
    return node;
}

/* The next segment that means something, as cleaning a path leaves it. */
static bool
next_segment(struct slice *rest, struct slice *ret_segment)
{
    while (slice_split(rest, '/', ret_segment))
        if (ret_segment->len > 0 && !slice_eq(*ret_segment, SLICE(".")))
            return true;
    return false;
}

struct access_rule *
access_trie_put(struct arena *arena, struct access_trie *trie, struct slice operation)
{
    struct slice rest = operation, segment;
    struct access_node *node = &trie->root;
    size_t depth = 0;
    bool has_segment = next_segment(&rest, &segment);
    if (!has_segment)
        segment = SLICE_EMPTY; /* the root itself, which covers nothing below */
    do {
        if (depth++ == LIMIT_access_segments_max || slice_eq(segment, SLICE("..")))
            return NULL;
        struct access_node *child = find_exactly(trie, node, segment);
        node = child != NULL ? child : add(arena, trie, node, segment);
    } while (next_segment(&rest, &segment));
    if (node->rule == NULL)
        node->rule = ARENA_NEW(arena, struct access_rule);
    return node->rule;
}

/* --- looking up --------------------------------------------------------------------------------*/

struct walk {
    const struct access_trie *trie;
    struct access_reading reading;
};

static bool
same_text(const struct walk *walk, struct slice a, struct slice b)
{
    return walk->reading.ignores_case ? slice_eq_nocase(a, b) : slice_eq(a, b);
}

/* `*` is any bytes, also none. Goes back to the last one only: that is enough. */
static bool
fits(const struct walk *walk, struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len &&
                   same_text(walk, slice_of(pattern.data + p, 1), slice_of(text.data + t, 1))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

/* The children that a segment fits, in the order of the document. */
struct branches {
    const struct access_node *parent;
    struct slice segment;
    const struct access_node *literal; /* to be looked at next */
    const struct access_node *pattern;
};

static const struct access_node *
next_branch(const struct walk *walk, struct branches *branches)
{
    const struct access_node *literal = branches->literal, *pattern = branches->pattern;
    while (literal != NULL && (literal->parent != branches->parent ||
                               !same_text(walk, literal->text, branches->segment)))
        literal = literal->next;
    while (pattern != NULL && !fits(walk, pattern->text, branches->segment))
        pattern = pattern->next;
    bool takes_literal = literal != NULL && (pattern == NULL || literal->order < pattern->order);
    const struct access_node *found = takes_literal ? literal : pattern;
    branches->literal = takes_literal ? literal->next : literal;
    branches->pattern = takes_literal || pattern == NULL ? pattern : pattern->next;
    return found;
}

static bool
is_one_segment(const struct access_node *node)
{
    return slice_eq(node->text, SLICE("*"));
}

/* What the wildcards below a path say of the path itself. */
static const struct access_rule *
rule_below(const struct access_node *parent)
{
    for (const struct access_node *node = parent->first; node != NULL; node = node->next)
        if (is_one_segment(node) || slice_eq(node->text, SLICE("**")))
            return node->rule;
    return NULL;
}

static const struct access_rule *
find_below(const struct walk *walk, const struct access_node *parent, struct slice rest);

/* The rule along a branch whose node fits; `rest` is empty at the path's end. */
static const struct access_rule *
rule_along(const struct walk *walk, const struct access_node *node, struct slice rest)
{
    if (rest.data == NULL)
        return node->rule != NULL ? node->rule : rule_below(node);
    const struct access_rule *here = is_one_segment(node) ? NULL : node->rule;
    if (here != NULL && !walk->reading.is_thorough)
        return here;
    const struct access_rule *deeper = find_below(walk, node, rest);
    return deeper != NULL ? deeper : here;
}

/* As deep as the deepest operation, which LIMIT_access_segments_max bounds; each node is looked at
 * once, for it stands at one depth. */
static const struct access_rule *
find_below(const struct walk *walk, const struct access_node *parent, struct slice rest)
{
    struct slice segment;
    if (!slice_split(&rest, '/', &segment))
        return NULL;
    struct branches branches = { .parent = parent,
                                 .segment = segment,
                                 .literal = *bucket_of(walk->trie, parent, segment),
                                 .pattern = parent->first };
    const struct access_node *node;
    const struct access_rule *rule = NULL;
    while (rule == NULL && (node = next_branch(walk, &branches)) != NULL) {
        if (!walk->reading.is_thorough && is_one_segment(node) && rest.data != NULL)
            continue;
        rule = rule_along(walk, node, rest);
        if (!walk->reading.is_thorough)
            break;
    }
    return rule;
}

const struct access_rule *
access_trie_find(const struct access_trie *trie, struct slice path, struct access_reading reading)
{
    assert(path.len > 0 && path.data[0] == '/');
    const struct walk walk = { .trie = trie, .reading = reading };
    return find_below(&walk, &trie->root, slice_from(path, 1));
}
