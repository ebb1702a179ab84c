/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of one access policy as a tree of path segments. A rule covers its path and all
 * below it; as a name's last segment `*` is one more segment or none, and `**` any number; `*`
 * within a segment is any bytes of it. A `*` of a request is a byte like any other, and so are `\`,
 * `;` and `%`.
 *
 * There are two readings. The reference runtime's takes the first branch of the document that fits
 * and the first rule on it, so that a rule for `/a` hides one for `/a/b`, a branch that leads
 * nowhere hides what stands behind it, and a `*` in the middle matches nothing. The thorough one
 * finds those too, the deepest rule of a branch first. Who asks needs both: rules that were dead in
 * the reference must not open anything, and what they forbid is forbidden.
 *
 * Built by one thread, then constant; any thread.
 */
#ifndef CONFIG_ACCESS_TRIE_H
#define CONFIG_ACCESS_TRIE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"

enum access_action { ACCESS_UNSET, ACCESS_ALLOW, ACCESS_DENY };

/* What is said of one verb. */
struct access_verb {
    struct slice verb; /* "*" is any; empty: the rule names no verb */
    enum access_action action;
    struct access_verb *next;
};

/* What is said of one operation. */
struct access_rule {
    enum access_action action; /* of calls without verbs: gRPC */
    struct access_verb *verbs; /* in no order: of several for one verb a denial counts */
    size_t verb_count;
};

struct access_trie;

/* For at most so many segments of all operations. Lives in the arena. */
struct access_trie *access_trie_new(struct arena *arena, size_t segments_max);

/* The rule of an operation; a new one is empty. NULL if the name has `..` or too many segments:
 * what can match nothing, or nothing sensible, was meant otherwise. */
struct access_rule *
access_trie_put(struct arena *arena, struct access_trie *trie, struct slice operation);

struct access_reading {
    bool is_thorough;
    bool ignores_case;
};

/* NULL: no rule covers the path, which is cleaned. */
const struct access_rule *
access_trie_find(const struct access_trie *trie, struct slice path, struct access_reading reading);

#endif
