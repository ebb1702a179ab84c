/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON bodies that the reference takes as protobuf JSON: flat messages of texts,
 * bytes and numbers. Names are those of the message in either spelling, unknown ones are skipped,
 * null is nothing. What is refused is refused in the words of Go's protojson. Nothing here
 * suspends.
 */
#ifndef SURFACE_BODY_PROTO_H
#define SURFACE_BODY_PROTO_H

#include <stddef.h>

#include "api/request.h"

enum body_proto_type {
    BODY_PROTO_STRING,
    BODY_PROTO_INT32,
    BODY_PROTO_BYTES, /* base64 of either alphabet; decoded */
    BODY_PROTO_ENUM,  /* a name or a number, as its text */
};

struct body_proto_field {
    const char *name;     /* "resourceId" */
    const char *own_name; /* "resource_id" */
    enum body_proto_type type;
    size_t offset; /* of a struct slice, or an int32_t, in what is filled */
};

/* At most 32 fields. Texts live in the request's arena or borrow from the body. */
err_t body_proto_read(struct request *rq, struct slice body, const struct body_proto_field *fields,
                      size_t count, void *ret) WARN_UNUSED;

#endif
