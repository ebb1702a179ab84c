/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to and from the fields of a stream's entries. */
#include "entry.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- out ---------------------------------------------------------------------------------------*/

static void
put_text(struct resp_buf *buf, const char *text)
{
    resp_buf_append(buf, text, strlen(text));
}

/* U+2028 and U+2029 end lines in JavaScript. */
static bool
is_line_end(const char *at, size_t left)
{
    return left >= 3 && (memcmp(at, "\xe2\x80\xa8", 3) == 0 || memcmp(at, "\xe2\x80\xa9", 3) == 0);
}

static void
put_json_text(struct resp_buf *buf, struct remora_slice text)
{
    char escape[8];
    put_text(buf, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '"' || byte == '\\') {
            escape[0] = '\\';
            escape[1] = (char)byte;
            resp_buf_append(buf, escape, 2);
        } else if (byte == '\n' || byte == '\r' || byte == '\t') {
            put_text(buf, byte == '\n' ? "\\n" : byte == '\r' ? "\\r" : "\\t");
        } else if (byte < 0x20 || byte == '<' || byte == '>' || byte == '&') {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            put_text(buf, escape);
        } else if (is_line_end(text.data + i, text.len - i)) {
            put_text(buf, text.data[i + 2] == (char)0xa8 ? "\\u2028" : "\\u2029");
            i += 2;
        } else {
            resp_buf_append(buf, &text.data[i], 1);
        }
    }
    put_text(buf, "\"");
}

static int
compare(struct remora_slice a, struct remora_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* The least name above `after` (the least of all if NULL), with its last value. There are few. */
static const struct remora_pair *
next_pair(const struct remora_pair *pairs, size_t count, const struct remora_pair *after)
{
    const struct remora_pair *found = NULL;
    for (size_t i = 0; i < count; i++)
        if ((after == NULL || compare(pairs[i].name, after->name) > 0) &&
            (found == NULL || compare(pairs[i].name, found->name) <= 0))
            found = &pairs[i];
    return found;
}

void
entry_put_metadata(struct resp_buf *buf, const struct remora_pair *pairs, size_t count)
{
    const struct remora_pair *pair = next_pair(pairs, count, NULL);
    put_text(buf, "{");
    for (bool is_first = true; pair != NULL; pair = next_pair(pairs, count, pair)) {
        if (!is_first)
            put_text(buf, ",");
        is_first = false;
        put_json_text(buf, pair->name);
        put_text(buf, ":");
        put_json_text(buf, pair->value);
    }
    put_text(buf, "}");
}

/* --- in ----------------------------------------------------------------------------------------*/

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
read_metadata(struct entry *entry, struct remora_slice text)
{
    if (text.len <= 2 || text.len > ENTRY_METADATA_BYTES_MAX)
        return;
    cJSON *object = cJSON_ParseWithLength(text.data, text.len);
    int count = cJSON_IsObject(object) ? cJSON_GetArraySize(object) : 0;
    struct remora_pair *pairs = NULL;
    if (count > 0 && count <= ENTRY_PAIRS_MAX)
        pairs = calloc((size_t)count, sizeof *pairs);
    if (pairs == NULL) {
        cJSON_Delete(object);
        return;
    }
    size_t used = 0;
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        if (cJSON_IsString(member))
            pairs[used++] = (struct remora_pair){ slice_of(member->string),
                                                  slice_of(member->valuestring) };
    entry->metadata = object;
    entry->message.metadata = pairs;
    entry->message.metadata_count = used;
    entry->bytes += text.len * 4; /* about what the tree takes */
}

static struct remora_slice
field(const struct resp_value *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2)
        if (fields->items[i].type == RESP_STRING && fields->items[i + 1].type == RESP_STRING &&
            remora_slice_eq(fields->items[i].text, name))
            return fields->items[i + 1].text;
    return (struct remora_slice){ "", 0 };
}

struct entry *
entry_new(const struct resp_value *value)
{
    if (value->type != RESP_ARRAY || value->count != 2 || value->items[0].type != RESP_STRING ||
        value->items[1].type != RESP_ARRAY || value->items[0].text.len >= ENTRY_ID_BYTES)
        return NULL;
    struct remora_slice id = value->items[0].text, data = field(&value->items[1], "data");
    struct entry *entry = malloc(sizeof *entry + id.len + data.len);
    if (entry == NULL)
        abort();
    char *at = (char *)(entry + 1);
    *entry = (struct entry){ .bytes = sizeof *entry + id.len + data.len };
    memcpy(at, id.data, id.len);
    if (data.len > 0)
        memcpy(at + id.len, data.data, data.len);
    entry->message.id = (struct remora_slice){ at, id.len };
    entry->message.data = (struct remora_slice){ at + id.len, data.len };
    read_metadata(entry, field(&value->items[1], "metadata"));
    return entry;
}

void
entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    cJSON_Delete(entry->metadata);
    free((void *)(uintptr_t)entry->message.metadata); /* made by read_metadata() */
    free(entry);
}

static bool
read_number(const char **at, const char *end, uint64_t *ret)
{
    const char *from = *at;
    uint64_t value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
            return false;
    *ret = value;
    return *at > from;
}

bool
entry_id_after(struct remora_slice id, char ret[ENTRY_ID_BYTES])
{
    const char *at = id.data, *end = id.data + id.len;
    uint64_t time, sequence;
    if (!read_number(&at, end, &time) || at == end || *at++ != '-' ||
        !read_number(&at, end, &sequence) || at != end)
        return false;
    if (sequence == UINT64_MAX && time == UINT64_MAX)
        return false;
    time += sequence == UINT64_MAX;
    sequence++;
    snprintf(ret, ENTRY_ID_BYTES, "%" PRIu64 "-%" PRIu64, time, sequence);
    return true;
}
