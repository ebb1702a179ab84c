/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the public API as protobuf JSON, by descriptor: names in either spelling when read
 * and in camel case when written, 64-bit numbers as texts, Struct, Value, ListValue, Duration and
 * the wrappers as what they stand for, Any with `@type` if it holds one of those. Unknown members
 * are skipped. Refusals are in the words of Go's protojson.
 *
 * Nothing here suspends. Depth is that of messages over gRPC (LIMIT_grpc_depth_max), and so is the
 * memory that a text may become.
 */
#ifndef API_PROTOJSON_H
#define API_PROTOJSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/pb.h"
#include "base/slice.h"
#include "google/protobuf/any.pb-c.h"

/* The message, in the arena; NULL, and why. Texts with a NUL are refused: protobuf-c has no place
 * for one. */
void *protojson_read(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                     struct slice text, struct slice *ret_words) WARN_UNUSED;

/* Appends a message. False: `out` may not be that long, or an Any holds what is not known here. */
bool
protojson_write(struct buf *out, struct arena *arena, const ProtobufCMessage *message) WARN_UNUSED;

/* What an Any holds, without its type: a StringValue is a string. False likewise. */
bool protojson_write_content(struct buf *out, struct arena *arena,
                             const Google__Protobuf__Any *any) WARN_UNUSED;

/* --- parts, for other readers of such texts ----------------------------------------------------*/

/* The type in an Any's URL; NULL: it is not known here. */
const ProtobufCMessageDescriptor *protojson_type(struct slice url);
/* Whether a type has a JSON form of its own, which in an Any is called `value`. */
bool protojson_is_well_known(const ProtobufCMessageDescriptor *descriptor);
/* Whether it is one of the wrappers, whose form is that of their one field. */
bool protojson_is_wrapper(const ProtobufCMessageDescriptor *descriptor);
/* Whether a repeated field is a map. */
bool protojson_is_map(const ProtobufCFieldDescriptor *field);

/* A whole number, however it is written: 5, 5.0, 0.5e1, 50e-1. */
bool protojson_whole(struct slice text, bool *ret_is_negative, uint64_t *ret_magnitude) WARN_UNUSED;
/* Base64 of either alphabet, the padding may be left out. */
bool protojson_base64(struct arena *arena, struct slice text, struct slice *ret_bytes) WARN_UNUSED;
/* "(line 1:5): WORDS SHOWN": lines and columns from 1, as editors have them. */
struct slice protojson_complaint(struct arena *arena, const struct json *json, size_t at,
                                 const char *words, struct slice shown);
/* What is wrong with the syntax of the text that has been read; empty: nothing. */
struct slice protojson_syntax(struct arena *arena, struct json *json);

#endif
