/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON without taking it apart: a cursor that validates (RFC 8259) and hands out exact
 * spans of the input, so that a user's value keeps its bytes and nothing is copied. Where a whole
 * document is to be understood cJSON does it; here are what an API request needs: walk objects and
 * arrays, decode strings, skip values.
 *
 * The first error sticks: every later call fails. Its text is what Go's encoding/json says of the
 * same input, because users of the reference runtime know those texts. Depth is bounded by
 * LIMIT_json_depth_max. No allocation but for decoded strings, which go to the given arena.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

enum json_type {
    JSON_NONE, /* end of input, or an error */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json {
    struct slice text; /* borrowed */
    size_t at;
    unsigned depth;
    bool failed;
    char error[96]; /* set when failed */
};

void json_init(struct json *json, struct slice text);

/* Type of the next value; nothing is consumed but blanks. */
enum json_type json_peek(struct json *json);
/* "object", "array", "string", "number", "bool", "null": Go's words for a type. */
const char *json_type_name(enum json_type type);

/* Consumes one value of any type and gives its exact bytes, without blanks around it. */
bool json_skip(struct json *json, struct slice *ret_raw);

/* Enters an array or object whose type was seen by json_peek(). Then json_array_next() is true
 * before each element, json_object_next() before each value (with the decoded member name);
 * each element or value must be consumed. They return false at the end, which is consumed, and on
 * an error: ask json->failed. */
void json_enter(struct json *json);
bool json_array_next(struct json *json);
bool json_object_next(struct json *json, struct arena *arena, struct slice *ret_name);

/* Consumes a string and decodes it; a string without escapes is a span of the input. Unpaired
 * surrogates and bytes that are not UTF-8 become U+FFFD, as Go reads them. */
bool json_string(struct json *json, struct arena *arena, struct slice *ret_text);
/* Consumes a number, bool or null seen by json_peek(), giving its bytes. */
bool json_scalar(struct json *json, struct slice *ret_raw) WARN_UNUSED;

/* True at the end of the input (blanks allowed); else the error is set. */
bool json_end(struct json *json) WARN_UNUSED;

/* The whole text is one well-formed JSON value. */
bool json_is_valid(struct slice text);

/* Appends `s` as a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD; <, >, & and
 * U+2028/2029 are written as \u escapes like Go does, if `escape_html`. */
bool json_write_string(struct buf *out, struct slice s, bool escape_html) WARN_UNUSED;

#endif
