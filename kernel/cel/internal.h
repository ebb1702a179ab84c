/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the expressions: tokens (lex.c) become a tree (parse.c), which is walked for each event
 * (eval.c) with the functions of function.c over values (value.c). Nobody else includes this.
 */
#ifndef CEL_INTERNAL_H
#define CEL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    CEL_TEXT_BYTES_MAX = 16 * 1024,
    CEL_NODES_MAX = 4096,
    CEL_DEPTH_MAX = 32,              /* of brackets and unary operators */
    CEL_TREE_DEPTH_MAX = 64,         /* evaluation recurs so deep */
    CEL_STEPS_MAX = 100000,          /* of one evaluation */
    CEL_BYTES_MAX = 4 * 1024 * 1024, /* strings and lists that one evaluation makes */
    CEL_ARGS_MAX = 8,
};

/* --- tokens ------------------------------------------------------------------------------------*/

enum cel_token {
    TOKEN_END,
    TOKEN_BAD,
    TOKEN_IDENT,
    TOKEN_INT,
    TOKEN_UINT,
    TOKEN_DOUBLE,
    TOKEN_STRING,
    TOKEN_BYTES,
    TOKEN_SIGN, /* operators and punctuation: `text` is it */
};

struct cel_lexer {
    struct slice text;
    size_t at;
    struct arena *arena;
    enum cel_token token;
    size_t begin;       /* of the token */
    struct slice word;  /* of identifiers and signs */
    struct slice value; /* of strings and bytes, decoded */
    uint64_t number;
    double real;
    const char *error; /* of TOKEN_BAD */
};

void cel_next(struct cel_lexer *lexer);

/* --- the tree ----------------------------------------------------------------------------------*/

enum cel_type {
    CEL_ERROR,
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING,
    CEL_BYTES,
    CEL_TIMESTAMP, /* nanoseconds since 1970 are in `number` */
    CEL_DURATION,  /* nanoseconds */
    CEL_LIST,      /* of values; or JSON text in `text` while items is NULL */
    CEL_MAP,       /* likewise: key, value, key, value … */
};

struct cel_value {
    enum cel_type type;
    union {
        bool truth;
        int64_t number;
        uint64_t unsigned_number;
        double real;
    };
    struct slice text; /* of strings and bytes; of lists and maps that are JSON */
    const struct cel_value *items;
    size_t count;
};

enum cel_kind {
    NODE_LITERAL,
    NODE_IDENT,
    NODE_SELECT, /* args[0] . name */
    NODE_HAS,    /* has(args[0] . name) */
    NODE_INDEX,
    NODE_CALL, /* name(args…); a method has its target as the first */
    NODE_LIST,
    NODE_MAP,
    NODE_NOT,
    NODE_NEGATE,
    NODE_AND,
    NODE_OR,
    NODE_TERNARY,
    NODE_BINARY, /* operator in `name` */
    NODE_MACRO,  /* all, exists, exists_one, filter, map: list, variable in `variable`, body */
};

struct cel_node {
    enum cel_kind kind;
    struct slice name;
    struct slice variable;
    bool is_method;
    struct cel_value literal;
    const struct cel_node **args;
    size_t count;
    unsigned depth;
    const struct cel_regex *regex; /* of matches() with a constant pattern */
};

struct cel_program {
    const struct cel_node *root;
};

/* --- values ------------------------------------------------------------------------------------*/

struct cel_scope {
    struct slice name;
    struct cel_value value;
    const struct cel_scope *outer;
};

struct cel_run {
    struct arena *arena;
    unsigned steps;
    size_t bytes;
    const char *error; /* of the first CEL_ERROR */
};

struct cel_value cel_fail(struct cel_run *run, const char *error);
struct cel_value cel_bool(bool truth);
struct cel_value cel_int(int64_t number);
struct cel_value cel_text(struct slice text);
/* NULL: more than one evaluation may have. */
void *cel_alloc(struct cel_run *run, size_t bytes);
/* A value of JSON text; lists and maps stay text until they are looked into. */
struct cel_value cel_of_json(struct cel_run *run, struct slice text);
/* Member of a map; CEL_ERROR without recording it if there is none. */
struct cel_value cel_member(struct cel_run *run, const struct cel_value *map, struct slice name);
/* Takes a list or map apart. False: recorded. */
bool cel_items(struct cel_run *run, struct cel_value *value);
/* CEL_BOOL or CEL_ERROR. */
struct cel_value
cel_equal(struct cel_run *run, const struct cel_value *a, const struct cel_value *b);
/* < 0, 0, > 0 in *ret_order; false: they cannot be compared, which is recorded. */
bool cel_compare(struct cel_run *run, const struct cel_value *a, const struct cel_value *b,
                 int *ret_order);

/* --- functions ---------------------------------------------------------------------------------*/

bool cel_knows_function(struct slice name, bool is_method, size_t count);
struct cel_value
cel_call(struct cel_run *run, const struct cel_node *node, struct cel_value *args, size_t count);
struct cel_value
cel_binary(struct cel_run *run, struct slice sign, struct cel_value *a, struct cel_value *b);

#endif
