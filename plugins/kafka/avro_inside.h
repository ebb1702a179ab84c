/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of avro.h share: a schema as a graph of nodes, and words of trouble. */
#ifndef KAFKA_AVRO_INSIDE_H
#define KAFKA_AVRO_INSIDE_H

#include "avro.h"
#include "tokens.h"

enum avro_type {
    AVRO_NULL,
    AVRO_BOOLEAN,
    AVRO_INT,
    AVRO_LONG,
    AVRO_FLOAT,
    AVRO_DOUBLE,
    AVRO_BYTES,
    AVRO_STRING,
    AVRO_ARRAY,
    AVRO_MAP,
    AVRO_FIXED,
    AVRO_ENUM,
    AVRO_UNION,
    AVRO_RECORD,
};

struct avro_field {
    const char *name;
    const struct avro_node *node;
    uint32_t default_token; /* 0: it has none */
    char *fallback;         /* its default, encoded; malloc'ed; NULL: it has none */
    size_t fallback_len;
};

/* A type. Records may be inside themselves. */
struct avro_node {
    enum avro_type type;
    bool is_decimal;  /* bytes that are kept as short as they can be */
    const char *name; /* the full one, or that of the type; with a logical type "int.date" */
    const char *namespace_;
    size_t count; /* fields, symbols, branches; of a fixed its bytes */
    union {
        struct avro_field *fields;
        const char **symbols;
        const struct avro_node *items; /* and values of a map */
        struct {
            const struct avro_node **branches;
            uint32_t *sorted; /* branches in the order of their names */
        };
    };
};

struct avro_schema {
    const struct avro_node *root;
    unsigned refs;
    size_t bytes;
    struct avro_piece *pieces;  /* memory of nodes and names; owned */
    struct avro_node **records; /* those with fields; malloc'ed */
    size_t record_count;
};

/* --- words -------------------------------------------------------------------------------------*/

/* Words are put together from inside out: the first ones say what is wrong, later ones where. */
struct avro_words {
    char *text; /* of AVRO_WHY_BYTES; NULL: nobody wants them */
};

/* Always false. */
__attribute__((format(printf, 2, 3))) bool
avro_fail(struct avro_words *words, const char *format, ...);
/* In front of what is there; always false. */
__attribute__((format(printf, 2, 3))) bool
avro_within(struct avro_words *words, const char *format, ...);
/* Behind what is there; always false. */
__attribute__((format(printf, 2, 3))) bool
avro_add(struct avro_words *words, const char *format, ...);
/* A byte as Go's %q shows it. */
const char *avro_show_byte(unsigned char byte, char ret[8]);

/* --- avro_text.c -------------------------------------------------------------------------------*/

void avro_put_char(struct avro_bytes *out, char c);
void avro_put_long(struct avro_bytes *out, int64_t value);
/* JSON strings: of UTF-8, and of bytes. */
void avro_put_text(struct avro_bytes *out, const char *text, size_t len);
void avro_put_byte_text(struct avro_bytes *out, const unsigned char *bytes, size_t len);
/* The shortest digits that mean this number; `is_float`: among those of single precision. */
void avro_put_number(struct avro_bytes *out, double value, bool is_float);
/* The shortest two's complement of a number, of which one has no bytes. */
const unsigned char *avro_shorten(const unsigned char *bytes, size_t *len);

/* Keys of a map, as places in some bytes. */
struct avro_keys {
    struct avro_key {
        size_t at, len;
    } * list; /* malloc'ed; whoever has it frees it */
    size_t count, capacity;
};

void avro_keys_add(struct avro_keys *keys, size_t at, size_t len);
/* Whether one of them is there twice; gives them another order. */
bool avro_keys_repeat(struct avro_keys *keys, const char *bytes);

/* --- avro_write.c ------------------------------------------------------------------------------*/

/* Encodes the defaults of fields; `tokens` are the schema. */
bool avro_encode_defaults(struct avro_schema *schema, const struct tokens *tokens,
                          struct avro_words *words);

#endif
