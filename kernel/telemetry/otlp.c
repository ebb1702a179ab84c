/* SPDX-License-Identifier: Apache-2.0 */
/* Writing OTLP; see otlp.h. Field numbers are those of
 * opentelemetry.proto.{common,resource,trace}.v1 and of its collector service. */
#include "telemetry/otlp.h"

#include "base/wire.h"

enum { REQUEST_RESOURCE_SPANS = 1 };
enum { RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPE_SPANS = 2, RESOURCE_SPANS_SCHEMA = 3 };
enum { RESOURCE_ATTRIBUTES = 1 };
enum { SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS = 2 };
enum { SCOPE_NAME = 1 };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { ANY_VALUE_STRING = 1 };
enum { STATUS_MESSAGE = 2, STATUS_CODE = 3, STATUS_CODE_ERROR = 2 };
enum { RESPONSE_PARTIAL = 1, PARTIAL_REJECTED = 1, PARTIAL_MESSAGE = 2 };
enum {
    SPAN_TRACE_ID = 1,
    SPAN_SPAN_ID = 2,
    SPAN_TRACE_STATE = 3,
    SPAN_PARENT_ID = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_DROPPED_ATTRIBUTES = 10,
    SPAN_STATUS = 15,
    SPAN_FLAGS = 16,
};
/* Whether the parent is another process's is known, and it is. */
enum { FLAGS_HAS_IS_REMOTE = 0x100, FLAGS_IS_REMOTE = 0x200 };

/* A message field of `len` bytes with its tag and length. */
static size_t
field_len(unsigned field, size_t len)
{
    return wire_varint_len(field << 3) + wire_varint_len(len) + len;
}

static char *
put_fixed64(char *at, unsigned field, uint64_t value)
{
    at = wire_put_varint(at, field << 3 | WIRE_64BIT);
    for (unsigned i = 0; i < 8; i++)
        *at++ = (char)(value >> (8 * i));
    return at;
}

static char *
put_fixed32(char *at, unsigned field, uint32_t value)
{
    at = wire_put_varint(at, field << 3 | WIRE_32BIT);
    for (unsigned i = 0; i < 4; i++)
        *at++ = (char)(value >> (8 * i));
    return at;
}

/* --- attributes --------------------------------------------------------------------------------*/

static size_t
value_len(const struct span_attribute *attribute)
{
    return field_len(ANY_VALUE_STRING, attribute->value.len);
}

static size_t
pair_len(const struct span_attribute *attribute)
{
    return wire_bytes_len(KEY_VALUE_KEY, attribute->name) +
           field_len(KEY_VALUE_VALUE, value_len(attribute));
}

static char *
put_pair(char *at, unsigned field, const struct span_attribute *attribute)
{
    at = wire_put_head(at, field, pair_len(attribute));
    at = wire_put_bytes(at, KEY_VALUE_KEY, attribute->name);
    at = wire_put_head(at, KEY_VALUE_VALUE, value_len(attribute));
    return wire_put_present_bytes(at, ANY_VALUE_STRING, attribute->value);
}

/* --- a span ------------------------------------------------------------------------------------*/

static size_t
status_len(const struct span *span)
{
    if (!span->has_failed)
        return 0;
    return wire_bytes_len(STATUS_MESSAGE, span->failure) +
           wire_number_len(STATUS_CODE, STATUS_CODE_ERROR);
}

static char *
put_status(char *at, const struct span *span)
{
    at = wire_put_head(at, SPAN_STATUS, status_len(span));
    if (!span->has_failed)
        return at;
    at = wire_put_bytes(at, STATUS_MESSAGE, span->failure);
    return wire_put_number(at, STATUS_CODE, STATUS_CODE_ERROR);
}

static struct slice
parent_of(const struct span *span)
{
    return span->has_parent ? slice_of(span->parent_id, SPAN_ID_BYTES) : SLICE_EMPTY;
}

enum { FIXED64_LEN = 9, FIXED32_LEN = 4 + 2 /* a tag above 15 has two bytes */ };

static size_t
span_len(const struct span *span)
{
    size_t len = field_len(SPAN_TRACE_ID, TRACE_ID_BYTES) + field_len(SPAN_SPAN_ID, SPAN_ID_BYTES) +
                 wire_bytes_len(SPAN_TRACE_STATE, span->tracestate) +
                 wire_bytes_len(SPAN_PARENT_ID, parent_of(span)) +
                 wire_bytes_len(SPAN_NAME, span->name) + wire_number_len(SPAN_KIND, span->kind) +
                 2 * FIXED64_LEN + wire_number_len(SPAN_DROPPED_ATTRIBUTES, span->dropped_count) +
                 field_len(SPAN_STATUS, status_len(span)) + FIXED32_LEN;
    for (size_t i = 0; i < span->attribute_count; i++)
        len += field_len(SPAN_ATTRIBUTES, pair_len(&span->attributes[i]));
    return len;
}

static char *
put_span(char *at, const struct span *span)
{
    const struct trace_context *context = &span->context;
    uint64_t start_ns = (uint64_t)span->start_unix_ns;
    at = wire_put_bytes(at, SPAN_TRACE_ID, slice_of(context->trace_id, TRACE_ID_BYTES));
    at = wire_put_bytes(at, SPAN_SPAN_ID, slice_of(context->span_id, SPAN_ID_BYTES));
    at = wire_put_bytes(at, SPAN_TRACE_STATE, span->tracestate);
    at = wire_put_bytes(at, SPAN_PARENT_ID, parent_of(span));
    at = wire_put_bytes(at, SPAN_NAME, span->name);
    at = wire_put_number(at, SPAN_KIND, span->kind);
    at = put_fixed64(at, SPAN_START, start_ns);
    at = put_fixed64(at, SPAN_END, start_ns + span->took_ns);
    for (size_t i = 0; i < span->attribute_count; i++)
        at = put_pair(at, SPAN_ATTRIBUTES, &span->attributes[i]);
    at = wire_put_number(at, SPAN_DROPPED_ATTRIBUTES, span->dropped_count);
    at = put_status(at, span);
    return put_fixed32(at, SPAN_FLAGS, FLAGS_HAS_IS_REMOTE | FLAGS_IS_REMOTE | context->flags);
}

bool
otlp_span(struct buf *out, const struct span *span)
{
    size_t len = span_len(span), whole = field_len(SCOPE_SPANS_SPANS, len);
    char *start = buf_reserve(out, whole);
    if (start == NULL)
        return false;
    (void)put_span(wire_put_head(start, SCOPE_SPANS_SPANS, len), span); /* ends where it must */
    buf_commit(out, whole);
    return true;
}

/* --- the request -------------------------------------------------------------------------------*/

static struct span_attribute
service(const struct trace_resource *resource)
{
    return (struct span_attribute){ .name = SLICE("service.name"),
                                    .value = resource->service_name };
}

static size_t
resource_len(const struct trace_resource *resource)
{
    const struct span_attribute name = service(resource);
    size_t len = field_len(RESOURCE_ATTRIBUTES, pair_len(&name));
    for (size_t i = 0; i < resource->attribute_count; i++)
        len += field_len(RESOURCE_ATTRIBUTES, pair_len(&resource->attributes[i]));
    return len;
}

static char *
put_resource(char *at, const struct trace_resource *resource)
{
    const struct span_attribute name = service(resource);
    at = wire_put_head(at, RESOURCE_SPANS_RESOURCE, resource_len(resource));
    at = put_pair(at, RESOURCE_ATTRIBUTES, &name);
    for (size_t i = 0; i < resource->attribute_count; i++)
        at = put_pair(at, RESOURCE_ATTRIBUTES, &resource->attributes[i]);
    return at;
}

bool
otlp_head(struct buf *out, const struct trace_resource *resource, size_t spans_bytes)
{
    size_t scope = wire_bytes_len(SCOPE_NAME, TRACE_SCOPE_NAME);
    size_t scope_spans = field_len(SCOPE_SPANS_SCOPE, scope) + spans_bytes;
    size_t resource_spans = field_len(RESOURCE_SPANS_RESOURCE, resource_len(resource)) +
                            field_len(RESOURCE_SPANS_SCOPE_SPANS, scope_spans) + otlp_tail().len;
    size_t len = field_len(REQUEST_RESOURCE_SPANS, resource_spans) - spans_bytes - otlp_tail().len;
    char *at = buf_reserve(out, len);
    if (at == NULL)
        return false;
    at = wire_put_head(at, REQUEST_RESOURCE_SPANS, resource_spans);
    at = put_resource(at, resource);
    at = wire_put_head(at, RESOURCE_SPANS_SCOPE_SPANS, scope_spans);
    at = wire_put_head(at, SCOPE_SPANS_SCOPE, scope);
    (void)wire_put_bytes(at, SCOPE_NAME, TRACE_SCOPE_NAME); /* ends where it must */
    buf_commit(out, len);
    return true;
}

/* Tag and length (39 = '\x27') of the schema's URL, and the URL. */
struct slice
otlp_tail(void)
{
    _Static_assert(RESOURCE_SPANS_SCHEMA << 3 == 0x18, "and 2 for bytes makes 0x1a");
    return SLICE("\x1a\x27"
                 "https://opentelemetry.io/schemas/1.25.0");
}

/* --- the answer --------------------------------------------------------------------------------*/

bool
otlp_refused(struct slice answer, uint64_t *ret_count, struct slice *ret_words)
{
    struct wire_reader outer = wire_reader(answer);
    struct wire_field f;
    uint64_t count = 0;
    struct slice words = SLICE_EMPTY;
    while (wire_next(&outer, &f)) {
        if (f.field != RESPONSE_PARTIAL)
            continue;
        struct wire_reader inner = wire_reader(wire_bytes(&outer, &f));
        while (wire_next(&inner, &f)) {
            if (f.field == PARTIAL_REJECTED)
                count = wire_number(&inner, &f);
            else if (f.field == PARTIAL_MESSAGE)
                words = wire_bytes(&inner, &f);
        }
        outer.is_bad = outer.is_bad || inner.is_bad;
    }
    if (outer.is_bad)
        return false;
    *ret_count = count;
    *ret_words = words;
    return true;
}
