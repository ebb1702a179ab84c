/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing of trace contexts; see trace_context.h. */
#include "telemetry/trace_context.h"

enum { KEY_BYTES_MAX = 256, TENANT_BYTES_MAX = 241, SYSTEM_BYTES_MAX = 14, VALUE_BYTES_MAX = 256 };

/* --- traceparent -------------------------------------------------------------------------------*/

static bool
read_hex(struct slice text, uint8_t *ret_bytes, size_t count)
{
    if (text.len != count * 2)
        return false;
    for (size_t i = 0; i < count; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static char *
print_hex(char *at, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    return at;
}

static bool
is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool
has_ids(const struct trace_context *context)
{
    return !is_zero(context->trace_id, TRACE_ID_BYTES) && !is_zero(context->span_id, SPAN_ID_BYTES);
}

bool
trace_context_parse(struct slice text, struct trace_context *ret_context)
{
    struct slice rest = text, version, trace, span, flags, more;
    struct trace_context context;
    uint8_t number;
    if (text.data == NULL || !slice_split(&rest, '-', &version) ||
        !slice_split(&rest, '-', &trace) || !slice_split(&rest, '-', &span) ||
        !slice_split(&rest, '-', &flags))
        return false;
    if (!read_hex(version, &number, 1) || number == 0xff ||
        (number == 0 && slice_split(&rest, '-', &more)))
        return false; /* a later version may have more parts, this one has four */
    if (!read_hex(trace, context.trace_id, TRACE_ID_BYTES) ||
        !read_hex(span, context.span_id, SPAN_ID_BYTES) || !read_hex(flags, &context.flags, 1) ||
        !has_ids(&context))
        return false;
    *ret_context = context;
    return true;
}

void
trace_context_print(const struct trace_context *context, char ret_text[TRACEPARENT_BYTES])
{
    char *at = ret_text;
    *at++ = '0';
    *at++ = '0';
    *at++ = '-';
    at = print_hex(at, context->trace_id, TRACE_ID_BYTES);
    *at++ = '-';
    at = print_hex(at, context->span_id, SPAN_ID_BYTES);
    *at++ = '-';
    print_hex(at, &context->flags, 1);
}

/* --- grpc-trace-bin ----------------------------------------------------------------------------*/

/* Version, then a field number before each part: trace id, span id, options. */
enum { AT_TRACE = 1, AT_SPAN = 18, AT_FLAGS = 27 };

bool
trace_context_unpack(struct slice bytes, struct trace_context *ret_context)
{
    struct trace_context context;
    if (bytes.data == NULL || bytes.len < TRACE_BINARY_BYTES || bytes.data[0] != 0 ||
        bytes.data[AT_TRACE] != 0 || bytes.data[AT_SPAN] != 1 || bytes.data[AT_FLAGS] != 2)
        return false;
    memcpy(context.trace_id, bytes.data + AT_TRACE + 1, TRACE_ID_BYTES);
    memcpy(context.span_id, bytes.data + AT_SPAN + 1, SPAN_ID_BYTES);
    context.flags = (uint8_t)bytes.data[AT_FLAGS + 1];
    if (!has_ids(&context))
        return false;
    *ret_context = context;
    return true;
}

void
trace_context_pack(const struct trace_context *context, char ret_bytes[TRACE_BINARY_BYTES])
{
    ret_bytes[0] = 0;
    ret_bytes[AT_TRACE] = 0;
    memcpy(ret_bytes + AT_TRACE + 1, context->trace_id, TRACE_ID_BYTES);
    ret_bytes[AT_SPAN] = 1;
    memcpy(ret_bytes + AT_SPAN + 1, context->span_id, SPAN_ID_BYTES);
    ret_bytes[AT_FLAGS] = 2;
    ret_bytes[AT_FLAGS + 1] = (char)context->flags;
}

/* --- tracestate --------------------------------------------------------------------------------*/

static bool
is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool
is_key_part(struct slice text, size_t bytes_max, bool may_begin_with_digit)
{
    if (text.len == 0 || text.len > bytes_max)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool is_digit = c >= '0' && c <= '9';
        bool fits = i == 0
                        ? is_lower(c) || (is_digit && may_begin_with_digit)
                        : is_lower(c) || is_digit || c == '_' || c == '-' || c == '*' || c == '/';
        if (!fits)
            return false;
    }
    return true;
}

static bool
is_key(struct slice key)
{
    ptrdiff_t at = slice_find_byte(key, '@');
    if (at < 0)
        return is_key_part(key, KEY_BYTES_MAX, false);
    return is_key_part(slice_first(key, (size_t)at), TENANT_BYTES_MAX, true) &&
           is_key_part(slice_from(key, (size_t)at + 1), SYSTEM_BYTES_MAX, false);
}

static bool
is_value(struct slice value)
{
    if (value.len == 0 || value.len > VALUE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c < ' ' || c > '~' || c == '=')
            return false;
    }
    return true;
}

static bool
is_member(struct slice member)
{
    ptrdiff_t equals = slice_find_byte(member, '=');
    return equals > 0 && is_key(slice_first(member, (size_t)equals)) &&
           is_value(slice_from(member, (size_t)equals + 1));
}

bool
tracestate_is_valid(struct slice text)
{
    struct slice rest = text, member;
    size_t count = 0;
    if (text.data == NULL || text.len > TRACESTATE_BYTES_MAX)
        return false;
    while (slice_split(&rest, ',', &member)) {
        member = slice_trim(member);
        if (member.len == 0)
            continue;
        if (++count > TRACESTATE_MEMBERS_MAX || !is_member(member))
            return false;
    }
    return count > 0;
}
