/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the program of a pattern; see regex_internal.h. */
#include <stdlib.h>

#include "cel/regex_internal.h"

enum { WORK_MAX = 32 * 1024 * 1024 }; /* instructions run for one text */

static bool
class_has(const struct class *class, uint32_t rune)
{
    bool is_in = false;
    for (size_t i = 0; i < class->count && !is_in; i++)
        is_in = rune >= class->ranges[i].from && rune <= class->ranges[i].to;
    return is_in != class->is_negated;
}

/* Instructions that wait for a character, each once. */
struct threads {
    uint32_t *items;
    size_t count;
};

struct place {
    uint32_t before, after; /* characters; RUNE_MAX + 1: none */
};

struct machine {
    const struct cel_regex *regex;
    uint32_t *seen; /* round in which an instruction was reached */
    uint32_t round;
    uint32_t *stack;
    size_t work;
};

static bool
holds(enum op op, const struct place *place)
{
    bool is_begin = place->before > RUNE_MAX, is_end = place->after > RUNE_MAX;
    bool is_edge = (!is_begin && is_word(place->before)) != (!is_end && is_word(place->after));
    switch (op) {
    case OP_BEGIN:
        return is_begin;
    case OP_END:
        return is_end;
    case OP_LINE_BEGIN:
        return is_begin || place->before == '\n';
    case OP_LINE_END:
        return is_end || place->after == '\n';
    case OP_WORD:
        return is_edge;
    case OP_NOT_WORD:
        return !is_edge;
    case OP_CLASS:
    case OP_SPLIT:
    case OP_JUMP:
    case OP_MATCH:
    default:
        return true;
    }
}

/* Follows everything that takes no character. True: the end is reached. */
static bool
follow(struct machine *m, uint32_t start, const struct place *place, struct threads *threads)
{
    size_t depth = 0;
    m->stack[depth++] = start;
    while (depth > 0) {
        uint32_t at = m->stack[--depth];
        if (m->seen[at] == m->round)
            continue;
        m->seen[at] = m->round;
        m->work++;
        const struct instruction *i = &m->regex->program[at];
        if (i->op == OP_MATCH)
            return true;
        if (i->op == OP_CLASS) {
            threads->items[threads->count++] = at;
            continue;
        }
        if (i->op == OP_SPLIT)
            m->stack[depth++] = i->other;
        if (holds(i->op, place))
            m->stack[depth++] = i->next;
    }
    return false;
}

bool
cel_regex_finds(const struct cel_regex *regex, struct arena *scratch, struct slice text,
                bool *ret_is_done)
{
    size_t n = regex->count + 1, at = 0;
    struct machine m = { .regex = regex,
                         .seen = ARENA_ARRAY(scratch, uint32_t, n),
                         .stack = ARENA_ARRAY(scratch, uint32_t, 2 * n) };
    struct threads now = { ARENA_ARRAY(scratch, uint32_t, n), 0 };
    struct threads then = { ARENA_ARRAY(scratch, uint32_t, n), 0 };
    struct place place = { RUNE_MAX + 1, RUNE_MAX + 1 };
    *ret_is_done = true;
    for (;;) {
        size_t next = at;
        place.after = at < text.len ? rune_at(text, &next) : RUNE_MAX + 1;
        m.round++;
        /* What has got here, and a new beginning. */
        for (size_t i = 0; i < now.count; i++)
            if (follow(&m, now.items[i], &place, &then))
                return true;
        if (follow(&m, 0, &place, &then))
            return true;
        if (place.after > RUNE_MAX)
            return false;
        if (m.work > WORK_MAX) {
            *ret_is_done = false;
            return false;
        }
        now.count = 0;
        for (size_t i = 0; i < then.count; i++) {
            const struct instruction *c = &regex->program[then.items[i]];
            if (class_has(c->class, place.after))
                now.items[now.count++] = c->next;
        }
        then.count = 0;
        place.before = place.after;
        at = next;
    }
}
