/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files that make data of JSON share: avro_write.c, and avro_scalar.c for values with
 * nothing in them. */
#ifndef KAFKA_AVRO_WRITER_H
#define KAFKA_AVRO_WRITER_H

#include "avro_inside.h"

enum {
    WRITER_STEP_BYTES = 64, /* of a string that are one step */
    WRITER_SHOWN = 64,      /* of a name or a number in words */
};

struct writer {
    const struct tokens *tokens;
    struct avro_bytes *out;
    bool is_tagged;
    bool is_default; /* the tokens are a schema's, and a union's branch is the first that fits */
    unsigned depth;
    long steps; /* that are left */
    struct avro_words words;
};

/* False, in words: there are none left. */
bool writer_spend(struct writer *w, size_t steps);
const struct token *writer_token(const struct writer *w, uint32_t token);
/* The first byte of a value, as the reference's words show it. */
unsigned char writer_first(const struct writer *w, uint32_t token);

/* What a string says: a span of the text, or made. */
struct said {
    const char *bytes;
    size_t len;
    char *made; /* malloc'ed, or NULL */
};

/* False: `why` says what is wrong, or is NULL, where words have been said. */
bool writer_say(struct writer *w, uint32_t token, enum token_unescape how, struct said *ret,
                const char **why);

/* Each writes a value of its type, or says in words what is wrong. */
bool writer_boolean(struct writer *w, uint32_t token);
bool writer_integer(struct writer *w, uint32_t token, bool is_int);
bool writer_floating(struct writer *w, uint32_t token, bool is_float);
/* And bytes. */
bool writer_string(struct writer *w, const struct avro_node *node, uint32_t token);
bool writer_fixed(struct writer *w, const struct avro_node *node, uint32_t token);
bool writer_enum(struct writer *w, const struct avro_node *node, uint32_t token);

#endif
