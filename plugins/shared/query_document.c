/* SPDX-License-Identifier: Apache-2.0 */
/* See query_document.h. */
#include "query_document.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool __attribute__((format(printf, 2, 3))) refuse(char *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, QUERY_WHY_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* Nesting of braces and brackets outside of strings, without understanding the rest. */
static bool
is_shallow(struct remora_slice text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
        if (depth > QUERY_DEPTH_MAX)
            return false;
    }
    return true;
}

/* The document's parser would end a text there, and the condition would be another one. */
static bool
has_nul(struct remora_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0' || (text.len - i >= 6 && memcmp(text.data + i, "\\u0000", 6) == 0))
            return true;
        if (text.data[i] == '\\')
            i++;
    }
    return false;
}

static bool
parse(struct query_document *document, struct remora_slice text, char *why)
{
    if (text.len > QUERY_BYTES_MAX)
        return refuse(why, "the query is longer than %d bytes", QUERY_BYTES_MAX);
    if (!is_shallow(text))
        return refuse(why, "the query is nested deeper than %d levels", QUERY_DEPTH_MAX);
    if (has_nul(text))
        return refuse(why, "the query cannot hold the NUL character");
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text.len > 0 ? text.data : "", text.len, &end, 0);
    document->root = root;
    while (root != NULL && end < text.data + text.len && strchr(" \t\r\n", *end) != NULL)
        end++;
    if (!cJSON_IsObject(root) || end != text.data + text.len)
        return refuse(why, "the query is not a JSON object");
    return true;
}

static bool
read_token(struct query_document *document, const cJSON *token, char *why)
{
    if (token == NULL || cJSON_IsNull(token))
        return true;
    const char *text = cJSON_IsString(token) ? token->valuestring : "?";
    int64_t offset = 0;
    for (; *text >= '0' && *text <= '9' && offset <= INT32_MAX; text++)
        offset = offset * 10 + (*text - '0');
    if (*text != '\0' || offset > INT32_MAX)
        return refuse(why, "invalid page token in the query");
    document->offset = offset;
    return true;
}

static bool
read_page(struct query_document *document, const cJSON *page, char *why)
{
    if (page != NULL && !cJSON_IsObject(page) && !cJSON_IsNull(page))
        return refuse(why, "page in the query must be an object");
    const cJSON *limit = cJSON_GetObjectItemCaseSensitive(page, "limit");
    if (limit != NULL && !cJSON_IsNull(limit)) {
        double value = cJSON_IsNumber(limit) ? limit->valuedouble : -1;
        if (!(value >= 0 && value <= INT32_MAX && floor(value) == value))
            return refuse(why, "page.limit in the query must be a whole number");
        if (value > 0)
            document->limit = (int64_t)value;
    }
    return read_token(document, cJSON_GetObjectItemCaseSensitive(page, "token"), why);
}

bool
query_document_init(struct query_document *document, struct remora_slice text,
                    char ret_why[QUERY_WHY_BYTES])
{
    *document = (struct query_document){ .limit = -1 };
    if (parse(document, text, ret_why) &&
        read_page(document, cJSON_GetObjectItemCaseSensitive(document->root, "page"), ret_why))
        return true;
    query_document_fini(document);
    return false;
}

void
query_document_fini(struct query_document *document)
{
    cJSON_Delete(document->root);
    document->root = NULL;
}

const cJSON *
query_document_filter(const struct query_document *document)
{
    const cJSON *filter = cJSON_GetObjectItemCaseSensitive(document->root, "filter");
    bool is_empty = filter == NULL || cJSON_IsNull(filter) ||
                    (cJSON_IsObject(filter) && filter->child == NULL);
    return is_empty ? NULL : filter;
}

const cJSON *
query_document_only_member(const cJSON *object)
{
    const cJSON *member = cJSON_IsObject(object) ? object->child : NULL;
    return member != NULL && member->next == NULL ? member : NULL;
}

bool
query_document_sort(const struct query_document *document, const cJSON **ret_first,
                    char ret_why[QUERY_WHY_BYTES])
{
    const cJSON *sort = cJSON_GetObjectItemCaseSensitive(document->root, "sort");
    int keys = 0;
    if (sort != NULL && !cJSON_IsArray(sort) && !cJSON_IsNull(sort))
        return refuse(ret_why, "sort in the query must be a list");
    *ret_first = sort == NULL ? NULL : sort->child;
    for (const cJSON *one = *ret_first; one != NULL; one = one->next)
        if (++keys > QUERY_SORT_KEYS_MAX)
            return refuse(ret_why, "the query sorts by more than %d keys", QUERY_SORT_KEYS_MAX);
    return true;
}

bool
query_document_sort_entry(const cJSON *entry, const char **ret_key, bool *ret_descends,
                          char ret_why[QUERY_WHY_BYTES])
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(entry, "key");
    const cJSON *order = cJSON_GetObjectItemCaseSensitive(entry, "order");
    const char *word = cJSON_IsString(order) ? order->valuestring : order == NULL ? "ASC" : "?";
    if (!cJSON_IsString(key))
        return refuse(ret_why, "a sort entry of the query needs a key");
    if (*word == '\0')
        word = "ASC";
    if (strcasecmp(word, "ASC") != 0 && strcasecmp(word, "DESC") != 0)
        return refuse(ret_why, "a sort order must be ASC or DESC");
    *ret_key = key->valuestring;
    *ret_descends = strcasecmp(word, "DESC") == 0;
    return true;
}
