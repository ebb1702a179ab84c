/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes JSON of data. Each value that is read writes something, so that the bound of the result
 * bounds the steps too, whatever counts the data have in them. What stands behind the value is
 * left alone, as in the reference.
 */
#include "avro_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_BUFFER "short buffer"

struct reader {
    const unsigned char *begin, *at, *end;
    struct avro_bytes *out;
    enum avro_json kind;
    unsigned depth;
    struct avro_words words;
};

static bool read_value(struct reader *r, const struct avro_node *node);

/* --- parts -------------------------------------------------------------------------------------*/

static size_t
left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

static bool
read_long(struct reader *r, int64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->at == r->end)
            return avro_fail(&r->words, SHORT_BUFFER);
        unsigned char byte = *r->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
            return true;
        }
    }
    return avro_fail(&r->words, "a number has more than 64 bits");
}

static bool
read_bytes(struct reader *r, const unsigned char **ret, size_t *ret_len)
{
    int64_t size = 0;
    if (!read_long(r, &size))
        return avro_within(&r->words, "cannot decode binary bytes: ");
    if (size < 0)
        return avro_fail(&r->words, "cannot decode binary bytes: negative size: %" PRId64, size);
    if ((uint64_t)size > left(r))
        return avro_fail(&r->words, "cannot decode binary bytes: " SHORT_BUFFER);
    *ret = r->at;
    *ret_len = (size_t)size;
    r->at += size;
    return true;
}

/* --- scalars -----------------------------------------------------------------------------------*/

static bool
read_boolean(struct reader *r)
{
    if (r->at == r->end)
        return avro_fail(&r->words, SHORT_BUFFER);
    unsigned char byte = *r->at++;
    if (byte > 1)
        return avro_fail(&r->words,
                         "cannot decode binary boolean: expected: Go byte(0) or byte(1); "
                         "received: byte(%u)",
                         byte);
    avro_put(r->out, byte == 1 ? "true" : "false", byte == 1 ? 4 : 5);
    return true;
}

static bool
read_integer(struct reader *r, bool is_int)
{
    char text[24];
    int64_t value = 0;
    if (!read_long(r, &value))
        return false;
    if (is_int && (value < INT32_MIN || value > INT32_MAX))
        return avro_fail(&r->words, "an int has more than 32 bits");
    int len = snprintf(text, sizeof text, "%" PRId64, value);
    avro_put(r->out, text, (size_t)len);
    return true;
}

/* Little-endian. */
static bool
read_floating(struct reader *r, bool is_float)
{
    size_t bytes = is_float ? 4 : 8;
    uint64_t bits = 0;
    uint32_t low;
    float single;
    double value;
    if (left(r) < bytes)
        return avro_fail(&r->words, "cannot decode binary %s: " SHORT_BUFFER,
                         is_float ? "float" : "double");
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint64_t)*r->at++ << 8 * i;
    low = (uint32_t)bits;
    memcpy(&single, &low, sizeof single);
    memcpy(&value, &bits, sizeof value);
    avro_put_number(r->out, is_float ? (double)single : value, is_float);
    return true;
}

static bool
read_string(struct reader *r, const struct avro_node *node)
{
    const unsigned char *bytes = NULL;
    size_t len = 0;
    if (!read_bytes(r, &bytes, &len))
        return avro_within(&r->words,
                           node->type == AVRO_BYTES ? "" : "cannot decode binary string: ");
    if (node->is_decimal)
        bytes = avro_shorten(bytes, &len);
    if (node->type == AVRO_BYTES)
        avro_put_byte_text(r->out, bytes, len);
    else
        avro_put_text(r->out, (const char *)bytes, len);
    return true;
}

static bool
read_fixed(struct reader *r, const struct avro_node *node)
{
    if (left(r) < node->count)
        return avro_fail(&r->words,
                         "cannot decode binary fixed \"%s\": schema size exceeds remaining buffer "
                         "size: %zu > %zu (" SHORT_BUFFER ")",
                         node->name, node->count, left(r));
    avro_put_byte_text(r->out, r->at, node->count);
    r->at += node->count;
    return true;
}

static bool
read_enum(struct reader *r, const struct avro_node *node)
{
    int64_t index = 0;
    if (!read_long(r, &index))
        return avro_within(&r->words, "cannot decode binary enum \"%s\" index: ", node->name);
    if (index < 0 || (uint64_t)index >= node->count)
        return avro_fail(&r->words,
                         "cannot decode binary enum \"%s\": index ought to be between 0 and %zu; "
                         "read index: %" PRId64,
                         node->name, node->count - 1, index);
    avro_put_text(r->out, node->symbols[index], strlen(node->symbols[index]));
    return true;
}

/* --- values with something in them -------------------------------------------------------------*/

static bool
read_union(struct reader *r, const struct avro_node *node)
{
    int64_t index = 0;
    if (!read_long(r, &index))
        return false;
    if (index < 0 || (uint64_t)index >= node->count)
        return avro_fail(&r->words,
                         "cannot decode binary union: index ought to be between 0 and %zu; read "
                         "index: %" PRId64,
                         node->count - 1, index);
    const struct avro_node *branch = node->branches[index];
    bool is_tagged = r->kind == AVRO_JSON_TAGGED && branch->type != AVRO_NULL;
    if (is_tagged) {
        avro_put_char(r->out, '{');
        avro_put_text(r->out, branch->name, strlen(branch->name));
        avro_put_char(r->out, ':');
    }
    if (!read_value(r, branch))
        return avro_within(&r->words, "cannot decode binary union item %" PRId64 ": ", index + 1);
    if (is_tagged)
        avro_put_char(r->out, '}');
    return true;
}

static bool
read_record(struct reader *r, const struct avro_node *node)
{
    avro_put_char(r->out, '{');
    for (size_t i = 0; i < node->count; i++) {
        const struct avro_field *field = &node->fields[i];
        if (i > 0)
            avro_put_char(r->out, ',');
        avro_put_text(r->out, field->name, strlen(field->name));
        avro_put_char(r->out, ':');
        if (!read_value(r, field->node))
            return avro_within(&r->words,
                               "cannot decode binary record \"%s\" field \"%s\": ", node->name,
                               field->name);
    }
    avro_put_char(r->out, '}');
    return true;
}

static bool
is_count(struct reader *r, const char *what, int64_t count)
{
    return count <= INT32_MAX ||
           avro_fail(&r->words,
                     "cannot decode binary %s when block count exceeds MaxBlockCount: %" PRId64
                     " > %d",
                     what, count, INT32_MAX);
}

/* How many items follow; a negative count has their size in bytes behind it. */
static bool
read_block(struct reader *r, const char *what, int64_t *ret_count)
{
    int64_t size;
    if (!read_long(r, ret_count))
        return avro_within(&r->words, "cannot decode binary %s block count: ", what);
    if (*ret_count >= 0)
        return is_count(r, what, *ret_count);
    if (*ret_count == INT64_MIN)
        return avro_fail(&r->words, "cannot decode binary %s with block count: %" PRId64, what,
                         *ret_count);
    *ret_count = -*ret_count;
    if (!read_long(r, &size))
        return avro_within(&r->words, "cannot decode binary %s block size: ", what);
    return is_count(r, what, *ret_count);
}

static bool
read_array(struct reader *r, const struct avro_node *node)
{
    int64_t count = 0;
    bool is_first = true;
    avro_put_char(r->out, '[');
    for (;;) {
        if (!read_block(r, "array", &count))
            return false;
        if (count == 0)
            break;
        for (int64_t i = 0; i < count; i++) {
            if (!is_first)
                avro_put_char(r->out, ',');
            is_first = false;
            if (!read_value(r, node->items))
                return avro_within(&r->words, "cannot decode binary array item %" PRId64 ": ",
                                   i + 1);
        }
    }
    avro_put_char(r->out, ']');
    return true;
}

static bool
read_pair(struct reader *r, const struct avro_node *node, struct avro_keys *keys)
{
    const unsigned char *bytes = NULL;
    size_t len = 0;
    if (keys->count > 0)
        avro_put_char(r->out, ',');
    if (!read_bytes(r, &bytes, &len))
        return avro_within(&r->words,
                           "cannot decode binary map key: cannot decode binary string: ");
    avro_keys_add(keys, (size_t)(bytes - r->begin), len);
    avro_put_text(r->out, (const char *)bytes, len);
    avro_put_char(r->out, ':');
    return read_value(r, node->items) || avro_within(&r->words, "cannot decode binary map value: ");
}

static bool
read_pairs(struct reader *r, const struct avro_node *node, struct avro_keys *keys)
{
    int64_t count = 0;
    for (;;) {
        if (!read_block(r, "map", &count))
            return false;
        if (count == 0)
            return !avro_keys_repeat(keys, (const char *)r->begin) ||
                   avro_fail(&r->words, "cannot decode binary map: duplicate key");
        for (int64_t i = 0; i < count; i++)
            if (!read_pair(r, node, keys))
                return false;
    }
}

static bool
read_map(struct reader *r, const struct avro_node *node)
{
    struct avro_keys keys = { .list = NULL };
    avro_put_char(r->out, '{');
    bool is_read = read_pairs(r, node, &keys);
    avro_put_char(r->out, '}');
    free(keys.list);
    return is_read;
}

/* --- any value ---------------------------------------------------------------------------------*/

static bool
read_typed(struct reader *r, const struct avro_node *node)
{
    switch (node->type) {
    case AVRO_NULL:
        avro_put(r->out, "null", 4);
        return true;
    case AVRO_BOOLEAN:
        return read_boolean(r);
    case AVRO_INT:
    case AVRO_LONG:
        return read_integer(r, node->type == AVRO_INT);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return read_floating(r, node->type == AVRO_FLOAT);
    case AVRO_BYTES:
    case AVRO_STRING:
        return read_string(r, node);
    case AVRO_ARRAY:
        return read_array(r, node);
    case AVRO_MAP:
        return read_map(r, node);
    case AVRO_FIXED:
        return read_fixed(r, node);
    case AVRO_ENUM:
        return read_enum(r, node);
    case AVRO_UNION:
        return read_union(r, node);
    case AVRO_RECORD:
        return read_record(r, node);
    }
    return false;
}

static bool
read_value(struct reader *r, const struct avro_node *node)
{
    if (r->out->is_full)
        return avro_fail(&r->words, "the value is too large as JSON");
    if (r->depth == AVRO_DEPTH_MAX)
        return avro_fail(&r->words, "the value is nested too deeply");
    r->depth++;
    bool is_read = read_typed(r, node);
    r->depth--;
    return is_read;
}

bool
avro_to_json(const struct avro_schema *schema, const void *data, size_t len, enum avro_json kind,
             struct avro_bytes *out, char why[AVRO_WHY_BYTES])
{
    const unsigned char *bytes = len == 0 ? (const unsigned char *)"" : data;
    struct reader r = { .begin = bytes,
                        .at = bytes,
                        .end = bytes + len,
                        .out = out,
                        .kind = kind,
                        .words = { .text = why } };
    return read_value(&r, schema->root) &&
           (!out->is_full || avro_fail(&r.words, "the value is too large as JSON"));
}
