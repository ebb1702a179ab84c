/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast DNS on the wire; see dns.h. */
#include "dns.h"

#include <ctype.h>
#include <string.h>

enum { HEADER_BYTES = 12, COUNTS_AT = 4, POINTER = 0xC0, POINTERS_MAX = 32 };

/* --- reading -----------------------------------------------------------------------------------*/

static bool
take_u16(struct dns_reader *reader, uint16_t *ret_number)
{
    if (reader->len - reader->at < 2)
        return false;
    const uint8_t *from = reader->data + reader->at;
    *ret_number = (uint16_t)(from[0] << 8 | from[1]);
    reader->at += 2;
    return true;
}

static bool
take_u32(struct dns_reader *reader, uint32_t *ret_number)
{
    uint16_t high, low;
    if (!take_u16(reader, &high) || !take_u16(reader, &low))
        return false;
    *ret_number = (uint32_t)high << 16 | low;
    return true;
}

bool
dns_read_start(struct dns_reader *reader, const void *data, size_t len)
{
    uint16_t questions, answers, authority, additional;
    *reader = (struct dns_reader){ .data = data, .len = len };
    if (!take_u16(reader, &reader->id) || !take_u16(reader, &reader->flags) ||
        !take_u16(reader, &questions) || !take_u16(reader, &answers) ||
        !take_u16(reader, &authority) || !take_u16(reader, &additional))
        return false;
    reader->questions = questions;
    reader->answers = answers;
    reader->records = (unsigned)answers + authority + additional;
    if (reader->records > DNS_RECORDS_MAX)
        reader->records = DNS_RECORDS_MAX;
    return reader->questions <= DNS_RECORDS_MAX;
}

/* One label, escaped. False: no room. */
static bool
append_label(struct dns_name *name, size_t *len, const uint8_t *label, size_t label_len)
{
    if (*len > 0)
        name->text[(*len)++] = '.';
    for (size_t i = 0; i < label_len; i++) {
        if (*len + 3 >= sizeof name->text)
            return false;
        if (label[i] == '.' || label[i] == '\\')
            name->text[(*len)++] = '\\';
        name->text[(*len)++] = label[i] == '\0' ? '\x01' : (char)label[i]; /* as good as any */
    }
    return *len + 3 < sizeof name->text;
}

/* Pointers go back only, so that every name ends. */
static bool
take_name(struct dns_reader *reader, struct dns_name *ret_name)
{
    size_t at = reader->at, end = 0, len = 0, wire_len = 1;
    size_t before = reader->at; /* a pointer must go before that */
    for (unsigned pointers = 0;;) {
        if (at >= reader->len)
            return false;
        uint8_t head = reader->data[at];
        if (head == 0)
            break;
        if ((head & POINTER) == POINTER) {
            if (at + 1 >= reader->len || ++pointers > POINTERS_MAX)
                return false;
            size_t to = (size_t)(head & ~POINTER) << 8 | reader->data[at + 1];
            end = end == 0 ? at + 2 : end;
            if (to >= before)
                return false;
            at = before = to;
            continue;
        }
        wire_len += (size_t)head + 1;
        if ((head & POINTER) != 0 || at + 1 + head > reader->len ||
            wire_len > DNS_WIRE_NAME_BYTES ||
            !append_label(ret_name, &len, reader->data + at + 1, head))
            return false;
        at += (size_t)head + 1;
    }
    ret_name->text[len] = '\0';
    reader->at = end == 0 ? at + 1 : end;
    return true;
}

bool
dns_read_question(struct dns_reader *reader, struct dns_question *ret_question)
{
    if (reader->questions == 0)
        return false;
    reader->questions--;
    if (take_name(reader, &ret_question->name) && take_u16(reader, &ret_question->type) &&
        take_u16(reader, &ret_question->class_))
        return true;
    reader->questions = reader->records = 0; /* the rest cannot be found */
    return false;
}

/* What is in the record, of which `data` ends where the reader stands. */
static bool
take_data(struct dns_reader *reader, struct dns_record *record)
{
    struct dns_reader inner = *reader;
    uint16_t priority, weight;
    inner.at -= record->data_len;
    size_t start = inner.at;
    inner.len = reader->at; /* names may point to what is before, and end in here */
    switch (record->type) {
    case DNS_PTR:
        return take_name(&inner, &record->target) && inner.at == inner.len;
    case DNS_SRV:
        return take_u16(&inner, &priority) && take_u16(&inner, &weight) &&
               take_u16(&inner, &record->port) && take_name(&inner, &record->target) &&
               inner.at == inner.len && inner.at > start;
    case DNS_A:
        return record->data_len == 4;
    case DNS_AAAA:
        return record->data_len == 16;
    default:
        return true;
    }
}

bool
dns_read_record(struct dns_reader *reader, struct dns_record *ret_record)
{
    uint16_t data_len;
    while (reader->records > 0) {
        reader->records--;
        ret_record->is_answer = reader->answers > 0;
        reader->answers -= reader->answers > 0;
        if (!take_name(reader, &ret_record->name) || !take_u16(reader, &ret_record->type) ||
            !take_u16(reader, &ret_record->class_) || !take_u32(reader, &ret_record->ttl) ||
            !take_u16(reader, &data_len) || data_len > reader->len - reader->at)
            break;
        ret_record->data = reader->data + reader->at;
        ret_record->data_len = data_len;
        reader->at += data_len;
        if (take_data(reader, ret_record))
            return true; /* else just this one makes no sense */
    }
    reader->records = 0;
    return false;
}

/* --- comparing ---------------------------------------------------------------------------------*/

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool
dns_name_eq(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b))
        a++, b++;
    return *a == *b;
}

bool
dns_name_is_below(const char *name, const char *parent)
{
    size_t len = strlen(name), parent_len = strlen(parent);
    if (len < parent_len + 2 || !dns_name_eq(name + len - parent_len, parent) ||
        name[len - parent_len - 1] != '.')
        return false;
    size_t slashes = 0;
    while (slashes + parent_len + 1 < len && name[len - parent_len - 2 - slashes] == '\\')
        slashes++;
    return slashes % 2 == 0; /* else the dot is within a label */
}

bool
dns_text_has(const struct dns_record *record, const char *text)
{
    size_t wanted = strlen(text);
    for (size_t at = 0; at < record->data_len;) {
        size_t len = record->data[at++];
        if (len > record->data_len - at)
            return false;
        if (len == wanted && memcmp(record->data + at, text, len) == 0)
            return true;
        at += len;
    }
    return false;
}

/* --- writing -----------------------------------------------------------------------------------*/

static void
put_bytes(struct dns_writer *writer, const void *bytes, size_t len)
{
    if (writer->is_full || len > sizeof writer->data - writer->len) {
        writer->is_full = true;
        return;
    }
    if (len > 0)
        memcpy(writer->data + writer->len, bytes, len);
    writer->len += len;
}

static void
put_u16(struct dns_writer *writer, unsigned number)
{
    const uint8_t bytes[2] = { (uint8_t)(number >> 8), (uint8_t)number };
    put_bytes(writer, bytes, sizeof bytes);
}

/* Of the text up to the next dot that separates, without escapes; false if it is no label. */
static bool
next_label(const char **text, uint8_t ret_label[DNS_LABEL_BYTES], size_t *ret_len)
{
    const char *at = *text;
    size_t len = 0;
    while (*at != '\0' && *at != '.') {
        if (*at == '\\' && at[1] != '\0')
            at++;
        if (len == DNS_LABEL_BYTES)
            return false;
        ret_label[len++] = (uint8_t)*at++;
    }
    *text = *at == '.' ? at + 1 : at;
    *ret_len = len;
    return len > 0;
}

/* Whether the name that stands at `at` is this one. Ours are well-formed. */
static bool
is_there(const struct dns_writer *writer, size_t at, const char *text)
{
    uint8_t label[DNS_LABEL_BYTES];
    size_t len;
    while (*text != '\0' && next_label(&text, label, &len)) {
        while ((writer->data[at] & POINTER) == POINTER)
            at = (size_t)(writer->data[at] & ~POINTER) << 8 | writer->data[at + 1];
        if (writer->data[at] != len || memcmp(writer->data + at + 1, label, len) != 0)
            return false;
        at += len + 1;
    }
    while ((writer->data[at] & POINTER) == POINTER)
        at = (size_t)(writer->data[at] & ~POINTER) << 8 | writer->data[at + 1];
    return writer->data[at] == 0;
}

static void
put_name(struct dns_writer *writer, const char *text)
{
    uint8_t label[DNS_LABEL_BYTES], head;
    uint16_t added[DNS_SUFFIXES_MAX];
    size_t len, count = 0, wire_len = 1;
    while (*text != '\0') {
        for (size_t i = 0; i < writer->suffix_count; i++) {
            if (!is_there(writer, writer->suffixes[i], text))
                continue;
            put_u16(writer, (unsigned)POINTER << 8 | writer->suffixes[i]);
            goto keep;
        }
        if (writer->suffix_count + count < DNS_SUFFIXES_MAX)
            added[count++] = (uint16_t)writer->len;
        if (!next_label(&text, label, &len) || (wire_len += len + 1) > DNS_WIRE_NAME_BYTES) {
            writer->is_full = true;
            return;
        }
        head = (uint8_t)len;
        put_bytes(writer, &head, 1);
        put_bytes(writer, label, len);
    }
    head = 0;
    put_bytes(writer, &head, 1);
keep: /* only now that the name is complete may others point into it */
    for (size_t i = 0; i < count && !writer->is_full; i++)
        writer->suffixes[writer->suffix_count++] = added[i];
}

static void
count_one(struct dns_writer *writer, enum dns_section section)
{
    uint8_t *count = writer->data + COUNTS_AT + 2 * (size_t)section;
    unsigned number = (unsigned)(count[0] << 8 | count[1]) + 1;
    count[0] = (uint8_t)(number >> 8);
    count[1] = (uint8_t)number;
}

void
dns_write_start(struct dns_writer *writer, uint16_t id, uint16_t flags)
{
    static const uint8_t no_counts[HEADER_BYTES - COUNTS_AT];
    writer->len = writer->suffix_count = 0;
    writer->is_full = false;
    put_u16(writer, id);
    put_u16(writer, flags);
    put_bytes(writer, no_counts, sizeof no_counts);
}

void
dns_write_question(struct dns_writer *writer, const char *name, uint16_t type, uint16_t class_)
{
    put_name(writer, name);
    put_u16(writer, type);
    put_u16(writer, class_);
    count_one(writer, DNS_QUESTIONS);
}

static void
put_data(struct dns_writer *writer, const struct dns_entry *entry)
{
    uint8_t text_len = (uint8_t)entry->data_len;
    switch (entry->type) {
    case DNS_SRV:
        put_u16(writer, 0); /* priority */
        put_u16(writer, 0); /* weight */
        put_u16(writer, entry->port);
        put_name(writer, entry->target);
        break;
    case DNS_PTR:
        put_name(writer, entry->target);
        break;
    case DNS_TXT:
        writer->is_full |= entry->data_len > UINT8_MAX;
        put_bytes(writer, &text_len, 1);
        put_bytes(writer, entry->data, entry->data_len);
        break;
    default:
        put_bytes(writer, entry->data, entry->data_len);
        break;
    }
}

void
dns_write_record(struct dns_writer *writer, const struct dns_entry *entry)
{
    put_name(writer, entry->name);
    put_u16(writer, entry->type);
    put_u16(writer, entry->class_);
    put_u16(writer, entry->ttl >> 16);
    put_u16(writer, entry->ttl & 0xFFFF);
    size_t length_at = writer->len;
    put_u16(writer, 0);
    put_data(writer, entry);
    if (writer->is_full)
        return;
    size_t len = writer->len - length_at - 2;
    writer->data[length_at] = (uint8_t)(len >> 8);
    writer->data[length_at + 1] = (uint8_t)len;
    count_one(writer, entry->section);
}
