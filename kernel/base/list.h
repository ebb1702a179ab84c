/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked list. A head and an unlinked node both point at themselves, so removing
 * twice is harmless and emptiness needs no special case. One thread at a time.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "base/macros.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void
list_init(struct list *node)
{
    node->next = node;
    node->prev = node;
}

static inline bool
list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* Whether a node is in some list; a node must have been initialised. */
static inline bool
list_is_linked(const struct list *node)
{
    return node->next != node;
}

/* Before `at`: with the head as `at`, at the tail. */
static inline void
list_append(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void
list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Removes and returns the first node, NULL if there is none. */
static inline struct list *
list_take_first(struct list *head)
{
    if (list_is_empty(head))
        return NULL;
    struct list *node = head->next;
    list_remove(node);
    return node;
}

/* Moves all nodes of `from` to the tail of `to`; `from` is empty afterwards. */
static inline void
list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(node, type, member) container_of(node, type, member)

/* `it` may be removed inside the loop, its successor may not. */
#define LIST_FOREACH_SAFE(it, tmp, head)                                                           \
    for ((it) = (head)->next; (tmp) = (it)->next, (it) != (head); (it) = (tmp))

#define LIST_FOREACH(it, head) for ((it) = (head)->next; (it) != (head); (it) = (it)->next)

#endif
