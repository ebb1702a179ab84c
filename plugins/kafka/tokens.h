/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON text (RFC 8259) taken apart once: a list of its values in the order of the text, each of
 * which knows where it stands and where the one behind it begins. So numbers keep all their digits,
 * members are found in any order, and nothing is copied. Texts come from applications and from
 * registries: nesting and count are bounded, and what is no JSON is refused. Any thread.
 */
#ifndef KAFKA_TOKENS_H
#define KAFKA_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOKENS_DEPTH_MAX = 256,
    TOKENS_MAX = 1024 * 1024, /* 20 bytes of memory each */
    TOKENS_TEXT_BYTES_MAX = 64 * 1024 * 1024,
};

enum token_type {
    TOKEN_NULL,
    TOKEN_FALSE,
    TOKEN_TRUE,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_ARRAY,
    TOKEN_OBJECT,
};

struct token {
    uint32_t at, len; /* its bytes in the text; of a string those between the quotes */
    uint32_t end;     /* the token behind it and what is inside it */
    uint32_t count;   /* elements or members; a member is a string and a value behind it */
    uint32_t type;    /* enum token_type */
};

struct tokens {
    const char *text;   /* borrowed */
    struct token *list; /* owned; the first one is the whole */
    uint32_t count;
};

/* False: `why` is what is wrong, words that stay. Then no tokens_fini() is needed. */
bool tokens_read(struct tokens *ret, const char *text, size_t len, const char **why);
void tokens_fini(struct tokens *tokens);

/* The value of a member of an object, or 0: there is none, or `object` is none. */
uint32_t tokens_member(const struct tokens *tokens, uint32_t object, const char *name);
/* A string without escapes that is this one. */
bool tokens_is(const struct tokens *tokens, uint32_t token, const char *word);

/* How a string's escapes are understood. */
enum token_unescape {
    TOKEN_AS_TEXT,  /* \u is a character, which becomes UTF-8 */
    TOKEN_AS_BYTES, /* \u00XX is a byte, and what is not escaped stays as it is */
};

/* Writes what a string says to `out`, which has room for `len` bytes of the token, and gives their
 * number. False: `why` is what is wrong, words that stay. */
bool tokens_unescape(const struct tokens *tokens, uint32_t token, enum token_unescape how,
                     char *out, size_t *ret_len, const char **why);

#endif
