/* SPDX-License-Identifier: Apache-2.0 */
/* Text becomes a tree, by the grammar of the Common Expression Language; see internal.h. */
#include "cel/cel.h"
#include "cel/internal.h"
#include "cel/regex.h"

struct parser {
    struct cel_lexer lexer;
    struct arena *arena;
    unsigned depth;
    size_t nodes;
    const char *error; /* the first */
    size_t error_at;
};

static struct cel_node *parse_expression(struct parser *p);

/* --- helpers -----------------------------------------------------------------------------------*/

static struct cel_node *
fail_at(struct parser *p, size_t at, const char *error)
{
    if (p->error == NULL) {
        p->error = error;
        p->error_at = at;
    }
    return NULL;
}

static struct cel_node *
fail_here(struct parser *p, const char *error)
{
    const struct cel_lexer *l = &p->lexer;
    return fail_at(p, l->begin, l->token == TOKEN_BAD ? l->error : error);
}

static bool
is_sign(const struct parser *p, const char *sign)
{
    return p->lexer.token == TOKEN_SIGN && slice_eq(p->lexer.word, slice_str(sign));
}

static bool
take_sign(struct parser *p, const char *sign)
{
    if (!is_sign(p, sign))
        return false;
    cel_next(&p->lexer);
    return true;
}

static struct cel_node *
make(struct parser *p, enum cel_kind kind)
{
    if (++p->nodes > CEL_NODES_MAX)
        return fail_here(p, "the expression is too large");
    struct cel_node *node = ARENA_NEW(p->arena, struct cel_node);
    node->kind = kind;
    node->name = node->variable = SLICE_EMPTY;
    return node;
}

/* NULL: what hangs below it is too much to be walked. */
static struct cel_node *
complete(struct parser *p, struct cel_node *node)
{
    for (size_t i = 0; i < node->count; i++)
        if (node->args[i]->depth >= node->depth)
            node->depth = node->args[i]->depth + 1;
    return node->depth > CEL_TREE_DEPTH_MAX ? fail_here(p, "the expression is nested too deeply")
                                            : node;
}

static struct cel_node *
make_with(struct parser *p, enum cel_kind kind, struct slice name, const struct cel_node *a,
          const struct cel_node *b)
{
    struct cel_node *node = a == NULL ? NULL : make(p, kind);
    if (node == NULL)
        return NULL;
    node->name = name;
    node->args = ARENA_ARRAY(p->arena, const struct cel_node *, 3);
    node->args[node->count++] = a;
    if (b != NULL)
        node->args[node->count++] = b;
    return complete(p, node);
}

static bool
enter(struct parser *p)
{
    if (++p->depth <= CEL_DEPTH_MAX)
        return true;
    (void)fail_here(p, "the expression is nested too deeply");
    return false;
}

/* Expressions up to `close`, which is taken; `first` is the target of a method. */
static bool
parse_list(struct parser *p, const char *close, struct cel_node *node, const struct cel_node *first)
{
    size_t room = 8;
    node->args = ARENA_ARRAY(p->arena, const struct cel_node *, room);
    if (first != NULL)
        node->args[node->count++] = first;
    if (take_sign(p, close))
        return true;
    do {
        if (node->kind == NODE_LIST && is_sign(p, close))
            break; /* a comma may stand behind the last */
        const struct cel_node *item = parse_expression(p);
        if (item == NULL)
            return false;
        if (node->count == room) {
            node->args = arena_grow(p->arena, node->args, room * sizeof(const struct cel_node *),
                                    2 * room * sizeof(const struct cel_node *));
            room *= 2;
        }
        node->args[node->count++] = item;
    } while (take_sign(p, ","));
    if (take_sign(p, close))
        return true;
    (void)fail_here(p, "a closing bracket is missing");
    return false;
}

/* --- calls and macros --------------------------------------------------------------------------*/

static bool
is_macro(struct slice name)
{
    static const char *const names[] = { "all", "exists", "exists_one", "filter", "map" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(name, slice_str(names[i])))
            return true;
    return false;
}

/* list.all(x, …): the second argument is a name. */
static struct cel_node *
to_macro(struct parser *p, struct cel_node *node, size_t at)
{
    if (node->count != 3 || node->args[1]->kind != NODE_IDENT)
        return fail_at(p, at, "a macro wants a name and an expression");
    node->kind = NODE_MACRO;
    node->variable = node->args[1]->name;
    node->args[1] = node->args[2];
    node->count = 2;
    return node;
}

static struct cel_node *
to_has(struct parser *p, struct cel_node *node, size_t at)
{
    if (node->count != 1 || node->args[0]->kind != NODE_SELECT)
        return fail_at(p, at, "has() wants a field selection");
    struct cel_node *has = make(p, NODE_HAS);
    if (has == NULL)
        return NULL;
    has->name = node->args[0]->name;
    has->args = node->args[0]->args;
    has->count = 1;
    return complete(p, has);
}

/* Patterns that are known are compiled once. */
static struct cel_node *
with_pattern(struct parser *p, struct cel_node *node, size_t at)
{
    const struct cel_node *pattern = node->count == 2 ? node->args[1] : NULL;
    if (!slice_eq(node->name, SLICE("matches")) || pattern == NULL ||
        pattern->kind != NODE_LITERAL || pattern->literal.type != CEL_STRING)
        return node;
    const char *error = NULL;
    node->regex = cel_regex_compile(p->arena, pattern->literal.text, &error);
    return node->regex == NULL ? fail_at(p, at, error) : node;
}

/* Behind the opening bracket. */
static struct cel_node *
parse_call(struct parser *p, struct slice name, const struct cel_node *target, size_t at)
{
    struct cel_node *node = make(p, NODE_CALL);
    if (node == NULL)
        return NULL;
    node->name = name;
    node->is_method = target != NULL;
    if (!parse_list(p, ")", node, target) || complete(p, node) == NULL)
        return NULL;
    if (target == NULL && slice_eq(name, SLICE("has")))
        return to_has(p, node, at);
    if (target != NULL && is_macro(name))
        return to_macro(p, node, at);
    if (!cel_knows_function(name, node->is_method, node->count))
        return fail_at(p, at, "there is no such function");
    return with_pattern(p, node, at);
}

/* --- primary -----------------------------------------------------------------------------------*/

static struct cel_node *
parse_literal(struct parser *p)
{
    struct cel_lexer *l = &p->lexer;
    struct cel_node *node = make(p, NODE_LITERAL);
    if (node == NULL)
        return NULL;
    struct cel_value *v = &node->literal;
    if (l->token == TOKEN_STRING || l->token == TOKEN_BYTES) {
        v->type = l->token == TOKEN_STRING ? CEL_STRING : CEL_BYTES;
        v->text = l->value;
    } else if (l->token == TOKEN_DOUBLE) {
        *v = (struct cel_value){ .type = CEL_DOUBLE, .real = l->real };
    } else if (l->token == TOKEN_UINT) {
        *v = (struct cel_value){ .type = CEL_UINT, .unsigned_number = l->number };
    } else if (l->number > INT64_MAX) {
        return fail_here(p, "the number is too large");
    } else {
        *v = cel_int((int64_t)l->number);
    }
    cel_next(l);
    return node;
}

static struct cel_node *
parse_word(struct parser *p)
{
    struct slice name = p->lexer.word;
    size_t at = p->lexer.begin;
    static const struct {
        const char *word;
        struct cel_value value;
    } words[] = { { "true", { .type = CEL_BOOL, .truth = true } },
                  { "false", { .type = CEL_BOOL, .truth = false } },
                  { "null", { .type = CEL_NULL } } };
    cel_next(&p->lexer);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!slice_eq(name, slice_str(words[i].word)))
            continue;
        struct cel_node *node = make(p, NODE_LITERAL);
        if (node != NULL)
            node->literal = words[i].value;
        return node;
    }
    if (take_sign(p, "("))
        return parse_call(p, name, NULL, at);
    struct cel_node *node = make(p, NODE_IDENT);
    if (node != NULL)
        node->name = name;
    return node;
}

static struct cel_node *
parse_map(struct parser *p)
{
    struct cel_node *node = make(p, NODE_MAP);
    size_t room = 8;
    if (node == NULL)
        return NULL;
    node->args = ARENA_ARRAY(p->arena, const struct cel_node *, room);
    while (!take_sign(p, "}")) {
        const struct cel_node *key = parse_expression(p);
        if (key == NULL || !take_sign(p, ":"))
            return fail_here(p, "a colon is missing");
        const struct cel_node *value = parse_expression(p);
        if (value == NULL)
            return NULL;
        if (node->count + 2 > room) {
            node->args = arena_grow(p->arena, node->args, room * sizeof(const struct cel_node *),
                                    2 * room * sizeof(const struct cel_node *));
            room *= 2;
        }
        node->args[node->count++] = key;
        node->args[node->count++] = value;
        if (!take_sign(p, ",") && !is_sign(p, "}"))
            return fail_here(p, "a closing bracket is missing");
    }
    return complete(p, node);
}

static struct cel_node *
parse_primary(struct parser *p)
{
    enum cel_token token = p->lexer.token;
    if (token == TOKEN_INT || token == TOKEN_UINT || token == TOKEN_DOUBLE ||
        token == TOKEN_STRING || token == TOKEN_BYTES)
        return parse_literal(p);
    if (token == TOKEN_IDENT)
        return parse_word(p);
    if (take_sign(p, "(")) {
        struct cel_node *node = parse_expression(p);
        if (node != NULL && !take_sign(p, ")"))
            return fail_here(p, "a closing bracket is missing");
        return node;
    }
    if (take_sign(p, "[")) {
        struct cel_node *node = make(p, NODE_LIST);
        return node != NULL && parse_list(p, "]", node, NULL) ? complete(p, node) : NULL;
    }
    if (take_sign(p, "{"))
        return parse_map(p);
    return fail_here(p, "an expression is missing");
}

static struct cel_node *
parse_member(struct parser *p)
{
    struct cel_node *node = parse_primary(p);
    while (node != NULL) {
        if (take_sign(p, ".")) {
            struct slice name = p->lexer.word;
            size_t at = p->lexer.begin;
            if (p->lexer.token != TOKEN_IDENT)
                return fail_here(p, "a name is missing");
            cel_next(&p->lexer);
            node = take_sign(p, "(") ? parse_call(p, name, node, at)
                                     : make_with(p, NODE_SELECT, name, node, NULL);
        } else if (take_sign(p, "[")) {
            struct cel_node *index = parse_expression(p);
            if (index == NULL || !take_sign(p, "]"))
                return fail_here(p, "a closing bracket is missing");
            node = make_with(p, NODE_INDEX, SLICE_EMPTY, node, index);
        } else {
            break;
        }
    }
    return node;
}

/* --- operators ---------------------------------------------------------------------------------*/

static struct cel_node *
parse_unary(struct parser *p)
{
    bool is_not = is_sign(p, "!");
    if (!is_not && !is_sign(p, "-"))
        return parse_member(p);
    cel_next(&p->lexer);
    if (!enter(p))
        return NULL;
    struct cel_node *inner = parse_unary(p);
    p->depth--;
    return make_with(p, is_not ? NODE_NOT : NODE_NEGATE, SLICE_EMPTY, inner, NULL);
}

/* Which operators stand on a level, loosest first; `in` is a word. */
static const char *const levels[][8] = {
    { "||" }, { "&&" }, { "<", "<=", ">", ">=", "==", "!=", "in" }, { "+", "-" }, { "*", "/", "%" },
};

/* The operator of that level here; empty: there is none. */
static struct slice
operator_here(const struct parser *p, size_t level)
{
    const struct cel_lexer *l = &p->lexer;
    for (size_t i = 0; i < ARRAY_LEN(levels[level]) && levels[level][i] != NULL; i++)
        if ((l->token == TOKEN_SIGN || (l->token == TOKEN_IDENT && levels[level][i][0] == 'i')) &&
            slice_eq(l->word, slice_str(levels[level][i])))
            return slice_str(levels[level][i]);
    return SLICE_EMPTY;
}

static struct cel_node *
parse_level(struct parser *p, size_t level)
{
    if (level == ARRAY_LEN(levels))
        return parse_unary(p);
    struct cel_node *node = parse_level(p, level + 1);
    struct slice sign;
    while (node != NULL && (sign = operator_here(p, level)).len > 0) {
        cel_next(&p->lexer);
        struct cel_node *right = parse_level(p, level + 1);
        if (right == NULL)
            return NULL;
        node = make_with(p,
                         level == 0   ? NODE_OR
                         : level == 1 ? NODE_AND
                                      : NODE_BINARY,
                         sign, node, right);
    }
    return node;
}

static struct cel_node *
parse_expression(struct parser *p)
{
    if (!enter(p))
        return NULL;
    struct cel_node *node = parse_level(p, 0);
    if (node != NULL && take_sign(p, "?")) {
        struct cel_node *yes = parse_level(p, 0), *no = NULL;
        if (yes != NULL && !take_sign(p, ":"))
            (void)fail_here(p, "a colon is missing");
        else if (yes != NULL)
            no = parse_expression(p);
        node = no == NULL ? NULL : make_with(p, NODE_TERNARY, SLICE_EMPTY, node, yes);
        if (node != NULL) {
            node->args[node->count++] = no;
            node = complete(p, node);
        }
    }
    p->depth--;
    return node;
}

const struct cel_program *
cel_compile(struct arena *arena, struct slice text, struct diag *diag)
{
    struct parser p = { .lexer = { .text = text, .arena = arena }, .arena = arena };
    const struct cel_node *root = NULL;
    if (text.len > CEL_TEXT_BYTES_MAX) {
        (void)fail_at(&p, 0, "the expression is too long");
    } else {
        cel_next(&p.lexer);
        root = parse_expression(&p);
        if (root != NULL && p.lexer.token != TOKEN_END)
            root = fail_here(&p, "something stands behind the expression");
    }
    if (root == NULL) {
        (void)DIAG_FAIL(diag, ERR_CONFIG, "column %zu: %s", p.error_at + 1, p.error);
        return NULL;
    }
    struct cel_program *program = ARENA_NEW(arena, struct cel_program);
    program->root = root;
    return program;
}
