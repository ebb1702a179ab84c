/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One YAML document as a tree, read from libyaml's events into an arena, and the values of its
 * scalars as the reference runtime sees them: it turns YAML into JSON by YAML 1.1 rules before it
 * decodes anything, so `yes` is a bool, `0644` is 420 and field names match without regard to case.
 *
 * Input is hostile: depth, node count and merges are bounded by limits.def. An alias points at the
 * node it names instead of copying it, so aliases cannot multiply; no node contains itself.
 */
#ifndef CONFIG_NODE_H
#define CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"

enum node_type { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node_item {
    struct slice key; /* of a map */
    struct node *value;
    struct node_item *next; /* in document order; merged ones last */
};

struct node {
    enum node_type type;
    bool is_plain;     /* scalar that is neither quoted nor tagged as text: may be a number */
    bool is_open;      /* still being read: an alias to it would be a loop */
    unsigned height;   /* 0 for a scalar */
    unsigned line;     /* in the file, from 1 */
    unsigned column;   /* from 1 */
    struct slice text; /* of a scalar */
    struct node_item *items;
    size_t count;
};

struct node_error {
    unsigned line; /* in the file, from 1 */
    unsigned column;
    char text[240]; /* "yaml: line 2: mapping values are not allowed in this context": Go's words */
};

/* Reads the first document of `text`, which starts at line `first_line` of its file. An empty
 * document gives NULL. Nodes live in the arena and copy all text. */
bool node_parse(struct arena *arena, struct slice text, unsigned first_line, struct node **ret_root,
                struct node_error *ret_error) WARN_UNUSED;

/* The value of a map's field: exact name first, then any case; of duplicates the last. NULL if
 * there is none, `map` is NULL or it is no map. A null value counts as absent. */
const struct node *node_get(const struct node *map, struct slice name);

bool node_is_null(const struct node *node);
/* "a map", "a list", "text", "a number", "a bool", "null": for messages. */
const char *node_what(const struct node *node);

/* What a string field gets: numbers and bools are printed, null is empty. False for a list or
 * map. */
bool node_text(struct arena *arena, const struct node *node, struct slice *ret_text) WARN_UNUSED;
/* What a metadata value gets: as above, but a list or map becomes its JSON. False if that is too
 * large. */
bool node_value(struct arena *arena, const struct node *node, struct slice *ret_text) WARN_UNUSED;
/* A bool, or the text of one. */
bool node_bool(const struct node *node, bool *ret_value) WARN_UNUSED;

#endif
