/* SPDX-License-Identifier: Apache-2.0 */
/* Reads answers of S3; see xml.h. */
#include "xml.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/xml_reader.h"
#include "words.h"

/* Texts of elements by their names; a name twice: the last one. */
struct field {
    const char *name;
    char *value; /* NULL: not there */
};

/* --- errors ------------------------------------------------------------------------------------*/

static void
on_error_end(struct xml_reading *r, const char *value)
{
    struct xml_error *error = r->arg;
    if (xml_is_at(r, "Error/Code"))
        words_put_line(error->code, sizeof error->code, value);
    else if (xml_is_at(r, "Error/Message"))
        words_put_line(error->message, sizeof error->message, value);
}

bool
xml_read_error(const char *body, size_t len, struct xml_error *ret_error)
{
    *ret_error = (struct xml_error){ .code = "" };
    struct xml_reading r = { .on_end = on_error_end, .arg = ret_error };
    return xml_read(&r, body, len) && ret_error->code[0] != '\0';
}

/* --- lists -------------------------------------------------------------------------------------*/

enum { OF_LIST = 8, OF_OBJECT = 5 };

struct listing {
    bool is_list; /* the root is one */
    struct field of_list[OF_LIST];
    struct field object[OF_OBJECT];
    char *owner_name, *owner_id;
    struct text contents, prefixes; /* items with commas between */
};

static void
keep(char **place, const char *value)
{
    free(*place);
    *place = memory_text(value);
}

static void
put_name(struct text *out, const char *name)
{
    text_put_string(out, name);
    text_put(out, ":", 1);
}

static void
put_plain(struct text *out, const char *text)
{
    text_put(out, text, strlen(text));
}

static void
put_value(struct text *out, const char *value)
{
    if (value == NULL)
        put_plain(out, "null");
    else
        text_put_string(out, value);
}

/* Digits, or null: what S3 says is not ours to vouch for. */
static void
put_number(struct text *out, const char *value)
{
    const bool is_number = value != NULL && *value != '\0' && strlen(value) < 20 &&
                           value[strspn(value, "0123456789")] == '\0';
    /* JSON knows no zeros in front. */
    while (is_number && value[0] == '0' && value[1] != '\0')
        value++;
    put_plain(out, is_number ? value : "null");
}

/* "2021-08-16T06:44:14.000Z" is "2021-08-16T06:44:14Z" to Go. */
static void
put_time(struct text *out, const char *value)
{
    char text[64];
    const char *dot = value == NULL ? NULL : strrchr(value, '.');
    if (dot == NULL || strlen(value) >= sizeof text || strcmp(dot + strspn(dot, ".0"), "Z") != 0) {
        put_value(out, value);
        return;
    }
    (void)snprintf(text, sizeof text, "%.*sZ", (int)(dot - value), value);
    text_put_string(out, text);
}

static void
put_object(struct listing *l)
{
    struct text *out = &l->contents;
    if (out->len > 0)
        text_put(out, ",", 1);
    for (size_t i = 0; i < OF_OBJECT; i++) {
        const char *name = l->object[i].name, *value = l->object[i].value;
        text_put(out, i == 0 ? "{" : ",", 1);
        if (strcmp(name, "Size") == 0) { /* before it, as the names are in order */
            put_name(out, "Owner");
            if (l->owner_id == NULL && l->owner_name == NULL) {
                put_plain(out, "null");
            } else {
                put_plain(out, "{\"DisplayName\":");
                put_value(out, l->owner_name);
                put_plain(out, ",\"ID\":");
                put_value(out, l->owner_id);
                text_put(out, "}", 1);
            }
            text_put(out, ",", 1);
        }
        put_name(out, name);
        if (strcmp(name, "Size") == 0)
            put_number(out, value);
        else if (strcmp(name, "LastModified") == 0)
            put_time(out, value);
        else
            put_value(out, value);
    }
    text_put(out, "}", 1);
}

static void
forget_object(struct listing *l)
{
    for (size_t i = 0; i < OF_OBJECT; i++) {
        free(l->object[i].value);
        l->object[i].value = NULL;
    }
    free(l->owner_name);
    free(l->owner_id);
    l->owner_name = l->owner_id = NULL;
}

static void
on_list_begin(struct xml_reading *r)
{
    struct listing *l = r->arg;
    if (r->depth == 1)
        l->is_list = xml_is_at(r, "ListBucketResult");
    else if (xml_is_at(r, "ListBucketResult/Contents"))
        forget_object(l);
}

static void
on_prefix(struct listing *l, const char *value)
{
    if (l->prefixes.len > 0)
        text_put(&l->prefixes, ",", 1);
    put_plain(&l->prefixes, "{\"Prefix\":");
    text_put_string(&l->prefixes, value);
    text_put(&l->prefixes, "}", 1);
}

static void
on_list_end(struct xml_reading *r, const char *value)
{
    struct listing *l = r->arg;
    const char *name = r->names[r->depth - 1];
    if (xml_is_at(r, "ListBucketResult/Contents"))
        put_object(l);
    else if (xml_is_at(r, "ListBucketResult/CommonPrefixes/Prefix"))
        on_prefix(l, value);
    else if (xml_is_at(r, "ListBucketResult/Contents/Owner/ID"))
        keep(&l->owner_id, value);
    else if (xml_is_at(r, "ListBucketResult/Contents/Owner/DisplayName"))
        keep(&l->owner_name, value);
    else if (r->depth == 3 && strcmp(r->names[1], "Contents") == 0)
        for (size_t i = 0; i < OF_OBJECT; i++) {
            if (strcmp(l->object[i].name, name) == 0)
                keep(&l->object[i].value, value);
        }
    else if (r->depth == 2)
        for (size_t i = 0; i < OF_LIST; i++) {
            if (strcmp(l->of_list[i].name, name) == 0)
                keep(&l->of_list[i].value, value);
        }
}

static void
put_array(struct text *out, const char *name, const struct text *items)
{
    put_name(out, name);
    if (items->len == 0) {
        put_plain(out, "null");
        return;
    }
    text_put(out, "[", 1);
    text_put(out, items->bytes, items->len);
    text_put(out, "]", 1);
}

static void
put_list(const struct listing *l, struct text *out)
{
    text_put(out, "{", 1);
    put_array(out, "CommonPrefixes", &l->prefixes);
    text_put(out, ",", 1);
    put_array(out, "Contents", &l->contents);
    for (size_t i = 0; i < OF_LIST; i++) {
        const char *name = l->of_list[i].name, *value = l->of_list[i].value;
        text_put(out, ",", 1);
        put_name(out, name);
        if (strcmp(name, "IsTruncated") == 0)
            put_plain(out, value == NULL ? "null" : strcmp(value, "true") == 0 ? "true" : "false");
        else if (strcmp(name, "MaxKeys") == 0)
            put_number(out, value);
        else
            put_value(out, value);
    }
    text_put(out, "}", 1);
}

bool
xml_list_to_json(const char *body, size_t len, struct text *out)
{
    struct listing l = {
        .of_list = { { "Delimiter", NULL },
                     { "EncodingType", NULL },
                     { "IsTruncated", NULL },
                     { "Marker", NULL },
                     { "MaxKeys", NULL },
                     { "Name", NULL },
                     { "NextMarker", NULL },
                     { "Prefix", NULL } },
        .object = { { "ETag", NULL },
                    { "Key", NULL },
                    { "LastModified", NULL },
                    { "Size", NULL },
                    { "StorageClass", NULL } },
    };
    struct xml_reading r = { .on_begin = on_list_begin, .on_end = on_list_end, .arg = &l };
    const bool ok = xml_read(&r, body, len) && l.is_list;
    if (ok)
        put_list(&l, out);
    forget_object(&l);
    for (size_t i = 0; i < OF_LIST; i++)
        free(l.of_list[i].value);
    free(l.contents.bytes);
    free(l.prefixes.bytes);
    return ok;
}
