/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Avro's binary encoding and JSON, one made of the other by a schema, as the reference's library
 * does it: in standard JSON a value of a union stands for itself and its branch is found out, in
 * Avro's own JSON it is wrapped in the branch's name. Bytes are texts of \u00XX, numbers that are
 * not finite are null and ±1e999, logical types look like what they are stored as. Schemas come
 * from a registry and data from anybody: nesting, steps, memory and results are bounded here, and
 * everything beyond is refused in words. Words about data have nothing of them but sizes; words
 * about JSON may name a member, and a number that is out of range.
 *
 * avro_schema.c reads schemas, avro_text.c writes and reads numbers and texts, avro_read.c makes
 * JSON of data, avro_write.c (with avro_scalar.c) data of JSON. No thread but one at a time for a
 * schema.
 */
#ifndef KAFKA_AVRO_H
#define KAFKA_AVRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AVRO_WHY_BYTES = 512,                   /* words of trouble, with their end */
    AVRO_SCHEMA_BYTES_MAX = 1024 * 1024,    /* the text of one */
    AVRO_DEPTH_MAX = 100,                   /* nesting of data, and of a schema */
    AVRO_JSON_BYTES_MAX = 16 * 1024 * 1024, /* what is made of one record */
};

/* Bytes that grow up to `max`; what does not fit is dropped, and known. */
struct avro_bytes {
    char *data; /* malloc'ed */
    size_t len, capacity, max;
    bool is_full;
};

void avro_put(struct avro_bytes *out, const void *bytes, size_t len);
void avro_bytes_fini(struct avro_bytes *bytes);

/* Immutable. */
struct avro_schema;

/* Counted: the caller has one. NULL: `why` says what is wrong with it. */
struct avro_schema *avro_schema_new(const char *text, size_t len, char why[AVRO_WHY_BYTES]);
struct avro_schema *avro_schema_ref(struct avro_schema *schema);
void avro_schema_unref(struct avro_schema *schema); /* NULL is nothing */
/* Memory that it takes, about. */
size_t avro_schema_bytes(const struct avro_schema *schema);

enum avro_json {
    AVRO_JSON_STANDARD,
    AVRO_JSON_TAGGED, /* Avro's own: values of unions are {"branch": value} */
};

/* Both append to `out`. False: `why` says what is wrong, and `out` has something of no use. */
bool avro_to_json(const struct avro_schema *schema, const void *data, size_t len,
                  enum avro_json kind, struct avro_bytes *out, char why[AVRO_WHY_BYTES]);
bool avro_from_json(const struct avro_schema *schema, const char *json, size_t len,
                    enum avro_json kind, struct avro_bytes *out, char why[AVRO_WHY_BYTES]);

#endif
