/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as gRPC clients read them: google.rpc.Status with the details of google/rpc's
 * error_details.proto, written by hand: a handful of fields, and most calls never need them.
 */
#include "base/wire.h"
#include "surface/grpc_surface.h"

#define DOMAIN SLICE("dapr.io")

enum {
    FRAME_BYTES = 128, /* tags, lengths and the constant texts of one detail */
    STATUS_CODE = 1,
    STATUS_MESSAGE = 2,
    STATUS_DETAILS = 3,
    ANY_TYPE_URL = 1,
    ANY_VALUE = 2,
};

/* One message being built; nested ones are built apart and put in whole. */
struct message {
    char *from;
    char *at;
};

static struct message
message_new(struct arena *arena, size_t text_bytes)
{
    char *from = arena_alloc(arena, text_bytes + FRAME_BYTES);
    return (struct message){ from, from };
}

static struct slice
message_slice(const struct message *m)
{
    return slice_of(m->from, (size_t)(m->at - m->from));
}

/* google.protobuf.Any around a detail. */
static struct slice
any_of(struct arena *arena, struct slice type_url, struct slice value)
{
    struct message m = message_new(arena, type_url.len + value.len);
    m.at = wire_put_bytes(m.at, ANY_TYPE_URL, type_url);
    m.at = wire_put_bytes(m.at, ANY_VALUE, value);
    return message_slice(&m);
}

/* BadRequest { field_violations = 1 { field = 1, description = 2 } } */
static struct slice
violation(struct arena *arena, const struct api_error *error, struct slice text)
{
    struct message inner = message_new(arena, error->violation_field.len + text.len);
    inner.at = wire_put_bytes(inner.at, 1, error->violation_field);
    inner.at = wire_put_bytes(inner.at, 2, text);
    struct slice one = message_slice(&inner);
    struct message m = message_new(arena, one.len);
    m.at = wire_put_present_bytes(m.at, 1, one);
    return any_of(arena, SLICE("type.googleapis.com/google.rpc.BadRequest"), message_slice(&m));
}

/* ResourceInfo { resource_type = 1, resource_name = 2, description = 4 } */
static struct slice
resource(struct arena *arena, const struct api_error *error)
{
    struct slice words = error->resource_has_words ? error->message : SLICE_EMPTY;
    struct message m = message_new(arena,
                                   error->resource_type.len + error->resource_name.len + words.len);
    m.at = wire_put_bytes(m.at, 1, error->resource_type);
    m.at = wire_put_bytes(m.at, 2, error->resource_name);
    m.at = wire_put_bytes(m.at, 4, words);
    return any_of(arena, SLICE("type.googleapis.com/google.rpc.ResourceInfo"), message_slice(&m));
}

/* ErrorInfo { reason = 1, domain = 2, metadata = 3 } */
static struct slice
error_info(struct arena *arena, const struct api_error *error, struct slice reason)
{
    size_t bytes = reason.len;
    for (size_t i = 0; i < error->info_count; i++)
        bytes += error->info[i].name.len + error->info[i].value.len + FRAME_BYTES;
    struct message m = message_new(arena, bytes);
    m.at = wire_put_bytes(m.at, 1, reason);
    m.at = wire_put_bytes(m.at, 2, DOMAIN);
    for (size_t i = 0; i < error->info_count; i++) {
        const struct pair *pair = &error->info[i];
        struct message entry = message_new(arena, pair->name.len + pair->value.len);
        entry.at = wire_put_present_bytes(entry.at, 1, pair->name);
        entry.at = wire_put_present_bytes(entry.at, 2, pair->value);
        m.at = wire_put_present_bytes(m.at, 3, message_slice(&entry));
    }
    return any_of(arena, SLICE("type.googleapis.com/google.rpc.ErrorInfo"), message_slice(&m));
}

/* Help { links = 1 { description = 1, url = 2 } } */
static struct slice
help(struct arena *arena, const struct api_error *error)
{
    struct slice text = slice_str(error->help_text), url = slice_str(error->help_url);
    struct message link = message_new(arena, text.len + url.len);
    link.at = wire_put_bytes(link.at, 1, text);
    link.at = wire_put_bytes(link.at, 2, url);
    struct message m = message_new(arena, message_slice(&link).len);
    m.at = wire_put_present_bytes(m.at, 1, message_slice(&link));
    return any_of(arena, SLICE("type.googleapis.com/google.rpc.Help"), message_slice(&m));
}

/* The reference gives errors of stores and of output bindings that have no reason of their own
 * their error code as one. */
static struct slice
reason_of(const struct api_error *error)
{
    const struct err_info *info = err_info(error->err);
    struct slice code = slice_str(info->code);
    if (error->reason.len > 0)
        return error->reason;
    if (info->reason != NULL)
        return slice_str(info->reason);
    bool is_coded = error->err == ERR_INVOKE_OUTPUT_BINDING ||
                    slice_has_prefix(code, SLICE("ERR_STATE_")) ||
                    slice_has_prefix(code, SLICE("ERR_CONFIGURATION_STORE_")) ||
                    slice_eq(code, SLICE("ERR_NOT_SUPPORTED_STATE_OPERATION"));
    if (error->err == ERR_UNAUTHENTICATED)
        return SLICE("Unauthorized");
    return is_coded ? code : SLICE_EMPTY;
}

struct slice
grpc_error_details(struct request *rq)
{
    enum { DETAILS_MAX = 4 };
    const struct api_error *error = &rq->error;
    struct slice details[DETAILS_MAX], reason = reason_of(error);
    size_t count = 0, bytes = error->message.len;
    if (reason.len == 0)
        return SLICE_EMPTY;
    if (error->has_violation)
        details[count++] = violation(rq->arena, error, error->message);
    if (error->has_resource)
        details[count++] = resource(rq->arena, error);
    details[count++] = error_info(rq->arena, error, reason);
    if (error->help_url != NULL)
        details[count++] = help(rq->arena, error);
    for (size_t i = 0; i < count; i++)
        bytes += details[i].len + FRAME_BYTES;
    struct message m = message_new(rq->arena, bytes);
    m.at = wire_put_number(m.at, STATUS_CODE, error->grpc);
    m.at = wire_put_bytes(m.at, STATUS_MESSAGE, error->message);
    for (size_t i = 0; i < count; i++)
        m.at = wire_put_present_bytes(m.at, STATUS_DETAILS, details[i]);
    return message_slice(&m);
}
