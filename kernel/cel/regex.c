/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns become programs of few instructions; see regex_internal.h. */
#include "cel/regex_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATTERN_BYTES_MAX = 4096,
    PROGRAM_MAX = 8192,
    REPEAT_MAX = 1000,
    NESTING_MAX = 64,
    RANGES_MAX = 512, /* of one class */
};

struct flags {
    bool ignores_case, is_multiline, dot_takes_newline;
};

struct compiler {
    struct arena *arena;
    struct slice pattern;
    size_t at;
    struct instruction *program;
    size_t count;
    unsigned depth;
    struct flags flags;
    const char *error;
};

static bool
fail(struct compiler *c, const char *error)
{
    if (c->error == NULL)
        c->error = error;
    return false;
}

static bool
at_end(const struct compiler *c)
{
    return c->at >= c->pattern.len;
}

static char
peek(const struct compiler *c)
{
    return at_end(c) ? '\0' : c->pattern.data[c->at];
}

/* --- characters --------------------------------------------------------------------------------*/

static bool
put_range(struct compiler *c, struct class *class, uint32_t from, uint32_t to)
{
    if (class->count == RANGES_MAX)
        return fail(c, "a class has too many parts");
    if (class->count == class->room) {
        size_t more = class->room == 0 ? 4 : class->room * 2;
        class->ranges = arena_grow(c->arena, class->ranges, class->room * sizeof(struct range),
                                   more * sizeof(struct range));
        class->room = more;
    }
    class->ranges[class->count++] = (struct range){ from, to };
    return true;
}

/* With the other case of what of it are letters of ASCII, where case does not count. */
static bool
add_range(struct compiler *c, struct class *class, uint32_t from, uint32_t to)
{
    bool is_good = put_range(c, class, from, to);
    uint32_t low = from > 'a' ? from : 'a', high = to < 'z' ? to : 'z';
    if (c->flags.ignores_case && low <= high && is_good)
        is_good = put_range(c, class, low - 32, high - 32);
    low = from > 'A' ? from : 'A';
    high = to < 'Z' ? to : 'Z';
    if (c->flags.ignores_case && low <= high && is_good)
        is_good = put_range(c, class, low + 32, high + 32);
    return is_good;
}

static struct class *
class_new(struct compiler *c)
{
    return ARENA_NEW(c->arena, struct class);
}

/* \d, \w, \s and their opposites. False: it is none of them. */
static bool
add_perl(struct compiler *c, struct class *class, char letter)
{
    static const struct range digits[] = { { '0', '9' } };
    static const struct range words[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
    static const struct range blanks[] = { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } };
    char lower = (char)(letter | 0x20);
    const struct range *ranges = lower == 'd' ? digits : lower == 'w' ? words : blanks;
    size_t count = lower == 'd' ? 1 : lower == 'w' ? 4 : 3;
    if (letter == '\0' || strchr("dwsDWS", letter) == NULL)
        return false;
    if (letter == lower) {
        for (size_t i = 0; i < count; i++)
            if (!add_range(c, class, ranges[i].from, ranges[i].to))
                return true; /* the error is recorded */
        return true;
    }
    uint32_t from = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].from > from && !add_range(c, class, from, ranges[i].from - 1))
            return true;
        from = ranges[i].to + 1;
    }
    (void)add_range(c, class, from, RUNE_MAX); /* the error is recorded */
    return true;
}

/* Behind \x. */
static bool
take_hex(struct compiler *c, uint32_t *ret_rune)
{
    uint32_t rune = 0;
    bool is_braced = peek(c) == '{';
    size_t digits = 0, most = is_braced ? 6 : 2;
    c->at += is_braced;
    while (digits < most && hex_value(peek(c)) >= 0) {
        rune = rune << 4 | (uint32_t)hex_value(peek(c));
        c->at++;
        digits++;
    }
    if (digits == 0 || (!is_braced && digits < 2) || rune > RUNE_MAX)
        return fail(c, "a hexadecimal escape is malformed");
    if (is_braced && peek(c) != '}')
        return fail(c, "a hexadecimal escape is malformed");
    c->at += is_braced;
    *ret_rune = rune;
    return true;
}

/* Behind a backslash, for one character. */
static bool
take_escape(struct compiler *c, uint32_t *ret_rune)
{
    static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
    char ch = peek(c);
    if (at_end(c))
        return fail(c, "a backslash stands at the end");
    const char *found = strchr(from, ch);
    c->at++;
    if (found != NULL && ch != '\0') {
        *ret_rune = (unsigned char)to[found - from];
        return true;
    }
    if (ch == 'x')
        return take_hex(c, ret_rune);
    if (is_word((unsigned char)ch))
        return fail(c, "there is no such escape");
    c->at--;
    *ret_rune = rune_at(c->pattern, &c->at);
    return true;
}

/* --- the program -------------------------------------------------------------------------------*/

static bool
emit(struct compiler *c, struct instruction instruction)
{
    if (c->count == PROGRAM_MAX)
        return fail(c, "the pattern is too large");
    c->program[c->count++] = instruction;
    return true;
}

static bool
emit_class(struct compiler *c, const struct class *class)
{
    return emit(
        c, (struct instruction){ .op = OP_CLASS, .next = (uint32_t)c->count + 1, .class = class });
}

static bool
emit_rune(struct compiler *c, uint32_t rune)
{
    struct class *class = class_new(c);
    return add_range(c, class, rune, rune) && emit_class(c, class);
}

/* Room for one instruction before `from`; what jumps within behind it is moved too. */
static bool
insert(struct compiler *c, size_t from, struct instruction instruction)
{
    if (c->count == PROGRAM_MAX)
        return fail(c, "the pattern is too large");
    memmove(&c->program[from + 1], &c->program[from], (c->count - from) * sizeof *c->program);
    c->count++;
    for (size_t i = from + 1; i < c->count; i++) {
        if (c->program[i].next >= from)
            c->program[i].next++;
        if (c->program[i].op == OP_SPLIT && c->program[i].other >= from)
            c->program[i].other++;
    }
    c->program[from] = instruction;
    return true;
}

/* The piece from..end once more behind the end. */
static bool
repeat_piece(struct compiler *c, size_t from, size_t end)
{
    uint32_t shift = (uint32_t)(c->count - from);
    for (size_t i = from; i < end; i++) {
        struct instruction copy = c->program[i];
        copy.next += shift;
        copy.other += shift;
        if (!emit(c, copy))
            return false;
    }
    return true;
}

static bool
make_optional(struct compiler *c, size_t from)
{
    uint32_t end = (uint32_t)c->count + 1;
    return insert(c, from,
                  (struct instruction){ .op = OP_SPLIT, .next = (uint32_t)from + 1, .other = end });
}

static bool
make_plus(struct compiler *c, size_t from)
{
    return emit(c, (struct instruction){
                       .op = OP_SPLIT, .next = (uint32_t)from, .other = (uint32_t)c->count + 1 });
}

static bool
make_star(struct compiler *c, size_t from)
{
    uint32_t end = (uint32_t)c->count + 2;
    return insert(
               c, from,
               (struct instruction){ .op = OP_SPLIT, .next = (uint32_t)from + 1, .other = end }) &&
           emit(c, (struct instruction){ .op = OP_JUMP, .next = (uint32_t)from });
}

static bool
make_counted(struct compiler *c, size_t from, unsigned least, unsigned most, bool is_open)
{
    size_t end = c->count;
    if (least == 0 && !is_open && most == 0) {
        c->count = from;
        return true;
    }
    if (least == 0)
        return is_open ? make_star(c, from)
                       : make_optional(c, from) &&
                             (most == 1 || fail(c, "such a repetition is not supported"));
    for (unsigned i = 1; i < least; i++)
        if (!repeat_piece(c, from, end))
            return false;
    if (is_open)
        return make_plus(c, c->count - (end - from));
    for (unsigned i = least; i < most; i++) {
        size_t begin = c->count;
        if (!repeat_piece(c, from, end) || !make_optional(c, begin))
            return false;
    }
    return true;
}

/* --- parsing -----------------------------------------------------------------------------------*/

static bool parse_alternatives(struct compiler *c);

static bool
take_number(struct compiler *c, unsigned *ret_number)
{
    unsigned number = 0;
    size_t first = c->at;
    while (peek(c) >= '0' && peek(c) <= '9' && number <= REPEAT_MAX) {
        number = number * 10 + (unsigned)(peek(c) - '0');
        c->at++;
    }
    *ret_number = number;
    return c->at > first && number <= REPEAT_MAX;
}

/* {3}, {3,} or {3,5}; false without an error: a brace that means itself. */
static bool
take_counts(struct compiler *c, unsigned *ret_least, unsigned *ret_most, bool *ret_is_open)
{
    size_t first = c->at++;
    *ret_is_open = false;
    if (take_number(c, ret_least)) {
        *ret_most = *ret_least;
        if (peek(c) == ',') {
            c->at++;
            *ret_is_open = !take_number(c, ret_most);
        }
        if (peek(c) == '}' && (*ret_is_open || *ret_least <= *ret_most)) {
            c->at++;
            return true;
        }
    }
    c->at = first;
    return false;
}

/* "{0,n}" with n > 1: nested options, each within the one before. */
static bool
make_up_to(struct compiler *c, size_t from, unsigned most)
{
    size_t end = c->count;
    for (unsigned i = 1; i < most; i++) {
        size_t begin = c->count;
        if (!repeat_piece(c, from, end) || !make_optional(c, begin))
            return false;
    }
    return make_optional(c, from);
}

static bool
parse_repetition(struct compiler *c, size_t from)
{
    for (;;) {
        unsigned least, most;
        bool is_open, is_good = true;
        char ch = peek(c);
        if (ch == '*' || ch == '+' || ch == '?') {
            c->at++;
            is_good = ch == '*'   ? make_star(c, from)
                      : ch == '+' ? make_plus(c, from)
                                  : make_optional(c, from);
        } else if (ch == '{' && take_counts(c, &least, &most, &is_open)) {
            is_good = least == 0 && !is_open && most > 1
                          ? make_up_to(c, from, most)
                          : make_counted(c, from, least, most, is_open);
        } else {
            return true;
        }
        if (peek(c) == '?') /* lazy: the same where only finding counts */
            c->at++;
        if (!is_good)
            return false;
    }
}

/* [:alpha:] and the like. */
static bool
take_posix(struct compiler *c, struct class *class)
{
    static const struct {
        const char *name;
        struct range ranges[4];
    } names[] = {
        { "[:alnum:]", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
        { "[:alpha:]", { { 'A', 'Z' }, { 'a', 'z' } } },
        { "[:ascii:]", { { 1, 0x7f } } },
        { "[:digit:]", { { '0', '9' } } },
        { "[:lower:]", { { 'a', 'z' } } },
        { "[:punct:]", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
        { "[:space:]", { { '\t', '\r' }, { ' ', ' ' } } },
        { "[:upper:]", { { 'A', 'Z' } } },
        { "[:word:]", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
        { "[:xdigit:]", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
    };
    struct slice rest = slice_from(c->pattern, c->at);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!slice_has_prefix(rest, slice_str(names[i].name)))
            continue;
        c->at += strlen(names[i].name);
        for (size_t j = 0; j < 4 && names[i].ranges[j].to != 0; j++)
            if (!add_range(c, class, names[i].ranges[j].from, names[i].ranges[j].to))
                break; /* the error is recorded */
        return true;
    }
    return false;
}

/* One character of a class, or *ret_is_set for a set of them that has been added. */
static bool
take_class_rune(struct compiler *c, struct class *class, uint32_t *ret_rune, bool *ret_is_set)
{
    *ret_is_set = true;
    if (peek(c) == '[' && take_posix(c, class))
        return c->error == NULL;
    if (peek(c) == '\\') {
        c->at++;
        if (add_perl(c, class, peek(c))) {
            c->at++;
            return c->error == NULL;
        }
        *ret_is_set = false;
        return take_escape(c, ret_rune);
    }
    *ret_is_set = false;
    *ret_rune = rune_at(c->pattern, &c->at);
    return true;
}

/* Behind the opening bracket. */
static bool
parse_class(struct compiler *c)
{
    struct class *class = class_new(c);
    bool is_first = true;
    class->is_negated = peek(c) == '^';
    c->at += class->is_negated;
    while (!at_end(c) && (peek(c) != ']' || is_first)) {
        uint32_t from, to;
        bool is_set;
        is_first = false;
        if (!take_class_rune(c, class, &from, &is_set))
            return false;
        if (is_set)
            continue;
        to = from;
        if (peek(c) == '-' && c->at + 1 < c->pattern.len && c->pattern.data[c->at + 1] != ']') {
            c->at++;
            if (!take_class_rune(c, class, &to, &is_set))
                return false;
            if (is_set || to < from)
                return fail(c, "a range of a class is malformed");
        }
        if (!add_range(c, class, from, to))
            return false;
    }
    if (at_end(c))
        return fail(c, "a class has no end");
    c->at++;
    return emit_class(c, class);
}

/* (?:…), (?i) and (?i:…); the flags hold until the group's end. False: recorded. */
static bool
take_flags(struct compiler *c, bool *ret_is_group)
{
    bool is_on = true;
    for (;; c->at++) {
        switch (peek(c)) {
        case '-':
            is_on = false;
            break;
        case 'i':
            c->flags.ignores_case = is_on;
            break;
        case 'm':
            c->flags.is_multiline = is_on;
            break;
        case 's':
            c->flags.dot_takes_newline = is_on;
            break;
        case 'U':
            break; /* greed means nothing here */
        case ':':
        case ')':
            *ret_is_group = peek(c) == ':';
            c->at++;
            return true;
        default:
            return fail(c, "such a group is not supported");
        }
    }
}

/* Behind the opening bracket. */
static bool
parse_group(struct compiler *c)
{
    struct flags outer = c->flags;
    bool is_group = true;
    if (++c->depth > NESTING_MAX)
        return fail(c, "the pattern is nested too deeply");
    if (slice_has_prefix(slice_from(c->pattern, c->at), SLICE("?P<"))) {
        while (!at_end(c) && peek(c) != '>')
            c->at++;
        c->at += !at_end(c);
    } else if (peek(c) == '?') {
        c->at++;
        if (!take_flags(c, &is_group))
            return false;
        if (!is_group) { /* (?i) is for the rest of the group around it */
            c->depth--;
            return true;
        }
    }
    if (!parse_alternatives(c))
        return false;
    if (peek(c) != ')')
        return fail(c, "a closing bracket is missing");
    c->at++;
    c->depth--;
    c->flags = outer;
    return true;
}

static bool
parse_backslash(struct compiler *c)
{
    uint32_t rune;
    char ch = peek(c);
    enum op op = ch == 'A'   ? OP_BEGIN
                 : ch == 'z' ? OP_END
                 : ch == 'b' ? OP_WORD
                 : ch == 'B' ? OP_NOT_WORD
                             : OP_MATCH;
    if (op != OP_MATCH) {
        c->at++;
        return emit(c, (struct instruction){ .op = op, .next = (uint32_t)c->count + 1 });
    }
    struct class *class = class_new(c);
    if (add_perl(c, class, ch)) {
        c->at++;
        return c->error == NULL && emit_class(c, class);
    }
    return take_escape(c, &rune) && emit_rune(c, rune);
}

static bool
emit_dot(struct compiler *c)
{
    struct class *class = class_new(c);
    class->is_negated = true;
    return (c->flags.dot_takes_newline || put_range(c, class, '\n', '\n')) && emit_class(c, class);
}

static bool
emit_anchor(struct compiler *c, bool is_begin)
{
    enum op op = is_begin ? (c->flags.is_multiline ? OP_LINE_BEGIN : OP_BEGIN)
                          : (c->flags.is_multiline ? OP_LINE_END : OP_END);
    return emit(c, (struct instruction){ .op = op, .next = (uint32_t)c->count + 1 });
}

static bool
parse_atom(struct compiler *c)
{
    char ch = peek(c);
    if (ch == '*' || ch == '+' || ch == '?')
        return fail(c, "there is nothing to repeat");
    if (strchr("([\\.^$", ch) == NULL || ch == '\0')
        return emit_rune(c, rune_at(c->pattern, &c->at));
    c->at++;
    return ch == '('    ? parse_group(c)
           : ch == '['  ? parse_class(c)
           : ch == '\\' ? parse_backslash(c)
           : ch == '.'  ? emit_dot(c)
                        : emit_anchor(c, ch == '^');
}

static bool
parse_sequence(struct compiler *c)
{
    while (!at_end(c) && peek(c) != '|' && peek(c) != ')') {
        size_t from = c->count;
        if (!parse_atom(c) || !parse_repetition(c, from))
            return false;
    }
    return true;
}

static bool
parse_alternatives(struct compiler *c)
{
    size_t from = c->count;
    if (!parse_sequence(c))
        return false;
    while (peek(c) == '|' && !at_end(c)) {
        c->at++;
        uint32_t end = (uint32_t)c->count + 2;
        if (!insert(
                c, from,
                (struct instruction){ .op = OP_SPLIT, .next = (uint32_t)from + 1, .other = end }))
            return false;
        size_t jump = c->count;
        if (!emit(c, (struct instruction){ .op = OP_JUMP }) || !parse_sequence(c))
            return false;
        c->program[jump].next = (uint32_t)c->count;
    }
    return true;
}

const struct cel_regex *
cel_regex_compile(struct arena *arena, struct slice pattern, const char **ret_error)
{
    struct compiler c = { .arena = arena, .pattern = pattern };
    if (pattern.len > PATTERN_BYTES_MAX) {
        *ret_error = "the pattern is too long";
        return NULL;
    }
    c.program = malloc((PROGRAM_MAX + 1) * sizeof *c.program);
    if (c.program == NULL)
        abort();
    bool is_good = parse_alternatives(&c) &&
                   (at_end(&c) || fail(&c, "a closing bracket stands alone")) &&
                   emit(&c, (struct instruction){ .op = OP_MATCH });
    struct cel_regex *regex = is_good ? ARENA_NEW(arena, struct cel_regex) : NULL;
    *ret_error = c.error;
    if (is_good) {
        regex->program = arena_alloc(arena, c.count * sizeof *regex->program);
        memcpy(regex->program, c.program, c.count * sizeof *regex->program);
        regex->count = c.count;
    }
    free(c.program);
    return regex;
}
