/* SPDX-License-Identifier: Apache-2.0 */
/* From libyaml's events to a tree; see node.h. */
#include "config/node.h"

#include <stdio.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/map.h"

#define TAG "tag:yaml.org,2002:"

/* One document being read. */
struct reader {
    struct arena *arena;
    yaml_parser_t parser;
    struct map anchors; /* name to struct node */
    unsigned first_line;
    size_t nodes;
    struct node_error *error;
};

static bool
refuse(struct reader *r, yaml_mark_t mark, const char *what)
{
    r->error->line = r->first_line + (unsigned)mark.line;
    r->error->column = (unsigned)mark.column + 1;
    (void)snprintf(r->error->text, sizeof r->error->text, "yaml: line %zu: %s", mark.line + 1,
                   what); /* cut is fine */
    return false;
}

/* Go's library counts a scanner's line from 1, a parser's from 0, and leaves out line 0. */
static bool
refuse_syntax(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem == NULL ? "unknown problem parsing YAML content" : p->problem;
    size_t line = 0;
    if (p->problem_mark.line != 0)
        line = p->problem_mark.line + (p->error == YAML_SCANNER_ERROR);
    else if (p->context_mark.line != 0)
        line = p->context_mark.line;
    r->error->line = r->first_line + (unsigned)p->problem_mark.line;
    r->error->column = (unsigned)p->problem_mark.column + 1;
    if (line > 0)
        (void)snprintf(r->error->text, sizeof r->error->text, "yaml: line %zu: %s", line, problem);
    else
        (void)snprintf(r->error->text, sizeof r->error->text, "yaml: %s", problem);
    return false;
}

static bool
next_event(struct reader *r, yaml_event_t *ret_event)
{
    return yaml_parser_parse(&r->parser, ret_event) != 0 || refuse_syntax(r);
}

static bool
new_node(struct reader *r, const yaml_event_t *event, enum node_type type, struct node **ret_node)
{
    if (++r->nodes > LIMIT_resource_nodes_max)
        return refuse(r, event->start_mark, "document has too many nodes");
    struct node *node = ARENA_NEW(r->arena, struct node);
    node->type = type;
    node->text = SLICE_EMPTY;
    node->line = r->first_line + (unsigned)event->start_mark.line;
    node->column = (unsigned)event->start_mark.column + 1;
    *ret_node = node;
    return true;
}

static void
remember(struct reader *r, const yaml_char_t *anchor, struct node *node)
{
    if (anchor != NULL)
        (void)map_put(&r->anchors, slice_str((const char *)anchor), node); /* the newest counts */
}

/* A tag decides over quotes: !!int "1" is a number, !!str 1 is text. Unknown tags make text. */
static bool
is_plain_scalar(const yaml_event_t *event)
{
    const char *tag = (const char *)event->data.scalar.tag;
    if (tag == NULL)
        return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return strcmp(tag, TAG "int") == 0 || strcmp(tag, TAG "float") == 0 ||
           strcmp(tag, TAG "bool") == 0 || strcmp(tag, TAG "null") == 0;
}

static bool
read_scalar(struct reader *r, const yaml_event_t *event, struct node **ret_node)
{
    struct node *node;
    if (!new_node(r, event, NODE_SCALAR, &node))
        return false;
    node->text = arena_dup(r->arena, slice_of(event->data.scalar.value, event->data.scalar.length));
    node->is_plain = is_plain_scalar(event);
    remember(r, event->data.scalar.anchor, node);
    *ret_node = node;
    return true;
}

static bool
read_alias(struct reader *r, const yaml_event_t *event, unsigned depth, struct node **ret_node)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct node *node = map_get(&r->anchors, slice_str(name));
    char what[120];
    if (node == NULL)
        (void)snprintf(what, sizeof what, "unknown anchor '%.80s' referenced", name);
    else if (node->is_open)
        (void)snprintf(what, sizeof what, "anchor '%.80s' value contains itself", name);
    else if (depth + node->height > LIMIT_resource_depth_max)
        (void)snprintf(what, sizeof what, "exceeded max depth");
    else {
        *ret_node = node;
        return true;
    }
    return refuse(r, event->start_mark, what);
}

static const struct node_item *
find_item(const struct node *map, struct slice key)
{
    const struct node_item *found = NULL;
    for (const struct node_item *item = map->items; item != NULL; item = item->next)
        if (slice_eq(item->key, key))
            found = item;
    return found;
}

static void
link_item(struct node *node, struct node_item ***tail, struct node_item *item)
{
    **tail = item;
    *tail = &item->next;
    node->count++;
    if (item->value->height >= node->height)
        node->height = item->value->height + 1;
}

static struct node_item *
new_item(struct reader *r, struct slice key, struct node *value)
{
    struct node_item *item = ARENA_NEW(r->arena, struct node_item);
    *item = (struct node_item){ .key = key, .value = value };
    return item;
}

/* Adds the pairs of `source` that `node` has not got itself. */
static bool
merge_map(struct reader *r, struct node *node, struct node_item ***tail, const struct node *source,
          yaml_mark_t mark, size_t *budget)
{
    if (source->type != NODE_MAP)
        return refuse(r, mark, "map merge requires map or sequence of maps as the value");
    for (const struct node_item *item = source->items; item != NULL; item = item->next) {
        if (*budget == 0 || ++r->nodes > LIMIT_resource_nodes_max)
            return refuse(r, mark, "map merges too many pairs");
        (*budget)--;
        if (find_item(node, item->key) == NULL)
            link_item(node, tail, new_item(r, item->key, item->value));
    }
    return true;
}

static bool
merge(struct reader *r, struct node *node, struct node_item ***tail, const struct node *source,
      yaml_mark_t mark)
{
    size_t budget = LIMIT_resource_merge_pairs_max;
    if (source->type != NODE_LIST)
        return merge_map(r, node, tail, source, mark, &budget);
    for (const struct node_item *item = source->items; item != NULL; item = item->next)
        if (budget-- == 0 || !merge_map(r, node, tail, item->value, mark, &budget))
            return refuse(r, mark, "map merges too many pairs or something that is no map");
    return true;
}

static bool
read_node(struct reader *r, yaml_event_t *event, unsigned depth, struct node **ret_node);

/* Takes the event over, as read_node() does. */
static bool
read_value(struct reader *r, unsigned depth, struct node **ret_node)
{
    yaml_event_t event;
    return next_event(r, &event) && read_node(r, &event, depth, ret_node);
}

static bool
read_list(struct reader *r, struct node *node, unsigned depth)
{
    struct node_item **tail = &node->items;
    for (;;) {
        yaml_event_t event;
        struct node *value;
        if (!next_event(r, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        if (!read_node(r, &event, depth + 1, &value))
            return false;
        link_item(node, &tail, new_item(r, SLICE_EMPTY, value));
    }
}

static bool
read_map(struct reader *r, struct node *node, unsigned depth)
{
    struct node_item **tail = &node->items;
    const struct node *merged = NULL;
    for (;;) {
        yaml_event_t event;
        struct node *key, *value;
        if (!next_event(r, &event))
            return false;
        yaml_mark_t mark = event.start_mark;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return merged == NULL || merge(r, node, &tail, merged, mark);
        }
        if (!read_node(r, &event, depth + 1, &key))
            return false;
        if (key->type != NODE_SCALAR)
            return refuse(r, mark, "invalid map key: expected text");
        if (!read_value(r, depth + 1, &value))
            return false;
        if (key->is_plain && slice_eq(key->text, SLICE("<<")))
            merged = value;
        else
            link_item(node, &tail, new_item(r, key->text, value));
    }
}

static bool
read_collection(struct reader *r, const yaml_event_t *event, unsigned depth, struct node **ret_node)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    struct node *node;
    if (depth >= LIMIT_resource_depth_max)
        return refuse(r, event->start_mark, "exceeded max depth");
    if (!new_node(r, event, is_list ? NODE_LIST : NODE_MAP, &node))
        return false;
    remember(r, is_list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor,
             node);
    node->is_open = true;
    node->height = 1;
    if (!(is_list ? read_list(r, node, depth) : read_map(r, node, depth)))
        return false;
    node->is_open = false;
    *ret_node = node;
    return true;
}

static bool
read_node(struct reader *r, yaml_event_t *event, unsigned depth, struct node **ret_node)
{
    bool ok = false;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        ok = read_scalar(r, event, ret_node);
        break;
    case YAML_ALIAS_EVENT:
        ok = read_alias(r, event, depth, ret_node);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        ok = read_collection(r, event, depth, ret_node);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        ok = refuse(r, event->start_mark, "unexpected end of a value");
        break;
    }
    yaml_event_delete(event);
    return ok;
}

/* Stream start, then a document start or the end of the stream. */
static bool
read_document(struct reader *r, struct node **ret_root)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) {
            *ret_root = NULL;
            return true;
        }
        if (type == YAML_DOCUMENT_START_EVENT)
            break;
    }
    struct node *root;
    if (!read_value(r, 0, &root))
        return false;
    *ret_root = node_is_null(root) ? NULL : root;
    return true;
}

bool
node_parse(struct arena *arena, struct slice text, unsigned first_line, struct node **ret_root,
           struct node_error *ret_error)
{
    struct reader r = { .arena = arena, .first_line = first_line, .error = ret_error };
    *ret_error = (struct node_error){ .line = first_line, .column = 1 };
    if (!yaml_parser_initialize(&r.parser)) {
        (void)snprintf(ret_error->text, sizeof ret_error->text, "yaml: out of memory");
        return false;
    }
    map_init(&r.anchors);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.data, text.len);
    bool ok = read_document(&r, ret_root);
    map_fini(&r.anchors);
    yaml_parser_delete(&r.parser);
    return ok;
}

const struct node *
node_get(const struct node *map, struct slice name)
{
    if (map == NULL || map->type != NODE_MAP)
        return NULL;
    const struct node_item *found = find_item(map, name);
    for (const struct node_item *item = found == NULL ? map->items : NULL; item != NULL;
         item = item->next)
        if (slice_eq_nocase(item->key, name))
            found = item;
    return found == NULL || node_is_null(found->value) ? NULL : found->value;
}
