/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON bodies of requests as the reference does, which checks the syntax of the whole body
 * before it looks at types, and reports the first wrong type; so a wrong type is remembered and the
 * rest is still read. Error texts are what Go's encoding/json says. Nothing here suspends.
 */
#ifndef SURFACE_BODY_JSON_H
#define SURFACE_BODY_JSON_H

#include "api/request.h"
#include "base/json.h"

struct body_parser {
    struct request *rq;
    struct json json;
    const char *owner;  /* "SetRequest": the struct that error texts name */
    struct slice wrong; /* the first complaint about a type */
    bool has_nul;       /* text that cannot be passed on */
};

struct body_parser body_parser_of(struct request *rq, struct slice body, const char *owner);

/* Remember that something else was wanted: as a whole, or for a field of the owner. */
void body_wrong_value(struct body_parser *p, enum json_type type, const char *wanted);
void
body_wrong_field(struct body_parser *p, enum json_type type, const char *field, const char *wanted);
void body_skip(struct body_parser *p);
/* A string field; null leaves it as it is. False if it was something else. */
bool body_read_text(struct body_parser *p, const char *field, struct slice *ret_text);
/* An object of strings. Of two members of one name the last counts, also if it is null. */
void body_read_metadata(struct body_parser *p, struct pair **ret_pairs, size_t *ret_count);
/* What the parser ended with, recorded; `prefix` stands before texts of the decoder. The reference
 * reads the first value and drops whatever follows, which here is an error: what stands there must
 * not be lost in silence. */
err_t body_verdict(struct body_parser *p, const char *prefix) WARN_UNUSED;
/* Room for one item more in an array in the arena. */
void *
body_grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t item_bytes);

#endif
