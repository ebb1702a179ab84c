/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles query documents. The conditions test json_type() beside json_extract(): SQL would take
 * true for 1 and the array [1] for the text "[1]".
 */
#include "query.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_INTEGER_BITS = 53 };

/* What was saved, of either form. */
#define CONTENT "iif(is_binary, from_base64(value), value)"

struct compiler {
    struct query *query;
    sqlite3_str *sql;
    int filters;
    char error[QUERY_WHY_BYTES]; /* empty: fine so far */
};

static bool compile_filter(struct compiler *compiler, const cJSON *filter);

static bool __attribute__((format(printf, 2, 3)))
refuse(struct compiler *compiler, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(compiler->error, sizeof(compiler->error), format, arguments);
    va_end(arguments);
    return false;
}

/* --- parameters --------------------------------------------------------------------------------*/

/* Appends and puts its number at *ret. */
static bool
add_parameter(struct compiler *compiler, const struct parameter *parameter, int *ret)
{
    struct query *query = compiler->query;
    if (query->count == QUERY_PARAMETERS_MAX)
        return refuse(compiler, "the query has more than %d keys and values", QUERY_PARAMETERS_MAX);
    if (query->count == query->capacity) {
        size_t capacity = query->capacity > 0 ? query->capacity * 2 : 16;
        struct parameter *grown = realloc(query->parameters, capacity * sizeof(*grown));
        if (grown == NULL)
            abort();
        query->parameters = grown;
        query->capacity = capacity;
    }
    query->parameters[query->count++] = *parameter;
    *ret = (int)query->count;
    return true;
}

static bool
add_text(struct compiler *compiler, const char *text, size_t len, char *owned, int *ret)
{
    struct parameter parameter = {
        .kind = PARAMETER_TEXT, .text = text, .len = len, .owned = owned
    };
    if (add_parameter(compiler, &parameter, ret))
        return true;
    sqlite3_free(owned);
    return false;
}

static bool
add_integer(struct compiler *compiler, int64_t value, int *ret)
{
    struct parameter parameter = { .kind = PARAMETER_INTEGER, .integer = value };
    return add_parameter(compiler, &parameter, ret);
}

/* Integers compare exactly as long as the document's parser kept them exact. */
static bool
add_number(struct compiler *compiler, double value, int *ret)
{
    if (!isfinite(value))
        return refuse(compiler, "a number in the query is out of range");
    if (floor(value) == value && fabs(value) <= (double)((int64_t)1 << EXACT_INTEGER_BITS))
        return add_integer(compiler, (int64_t)value, ret);
    struct parameter parameter = { .kind = PARAMETER_REAL, .real = value };
    return add_parameter(compiler, &parameter, ret);
}

/* "a.b" becomes the path $."a"."b". */
static bool
add_path(struct compiler *compiler, const char *key, int *ret)
{
    size_t len = key != NULL ? strlen(key) : 0;
    if (len == 0 || len > QUERY_KEY_BYTES_MAX)
        return refuse(compiler, "a key in the query is empty or longer than %d bytes",
                      QUERY_KEY_BYTES_MAX);
    if (strchr(key, '"') != NULL)
        return refuse(compiler, "a key in the query cannot hold a quotation mark");
    sqlite3_str *path = sqlite3_str_new(NULL);
    sqlite3_str_append(path, "$", 1);
    for (const char *at = key;; at++) {
        size_t part = strcspn(at, ".");
        if (part == 0) {
            sqlite3_free(sqlite3_str_finish(path));
            return refuse(compiler, "key '%.64s' in the query has an empty part", key);
        }
        sqlite3_str_append(path, ".\"", 2);
        sqlite3_str_append(path, at, (int)part);
        sqlite3_str_append(path, "\"", 1);
        at += part;
        if (*at == '\0')
            break;
    }
    char *text = sqlite3_str_finish(path);
    if (text == NULL)
        abort();
    return add_text(compiler, text, strlen(text), text, ret);
}

/* --- conditions --------------------------------------------------------------------------------*/

static bool
compile_comparison(struct compiler *compiler, int path, const char *operator, const cJSON * value)
{
    int param = 0;
    bool is_equality = strcmp(operator, "=") == 0;
    if (cJSON_IsString(value)) {
        if (!add_text(compiler, value->valuestring, strlen(value->valuestring), NULL, &param))
            return false;
        sqlite3_str_appendf(compiler->sql,
                            "(json_type(doc, ?%d) = 'text' AND json_extract(doc, ?%d) %s ?%d)",
                            path, path, operator, param);
    } else if (cJSON_IsNumber(value)) {
        if (!add_number(compiler, value->valuedouble, &param))
            return false;
        sqlite3_str_appendf(compiler->sql,
                            "(json_type(doc, ?%d) IN ('integer', 'real')"
                            " AND json_extract(doc, ?%d) %s ?%d)",
                            path, path, operator, param);
    } else if (is_equality && (cJSON_IsBool(value) || cJSON_IsNull(value))) {
        sqlite3_str_appendf(compiler->sql, "(json_type(doc, ?%d) = '%s')", path,
                            cJSON_IsTrue(value)    ? "true"
                            : cJSON_IsFalse(value) ? "false"
                                                   : "null");
    } else {
        return refuse(compiler,
                      is_equality ? "a value in the query must be a string, number, boolean or null"
                                  : "a value to compare with must be a string or a number");
    }
    return true;
}

static bool
compile_unary(struct compiler *compiler, const char *name, const char *operator,
              const cJSON * argument)
{
    const cJSON *pair = query_document_only_member(argument);
    int path = 0;
    if (pair == NULL)
        return refuse(compiler, "%s in the query needs one key and value", name);
    return add_path(compiler, pair->string, &path) &&
           compile_comparison(compiler, path, operator, pair);
}

static bool
compile_not_equal(struct compiler *compiler, const cJSON *argument)
{
    sqlite3_str_appendall(compiler->sql, "(NOT ");
    bool ok = compile_unary(compiler, "NEQ", "=", argument);
    sqlite3_str_appendall(compiler->sql, ")");
    return ok;
}

/* A list of one kind, "(json_type(...) = kind AND json_extract(...) IN (?, ?, ...))". SQLite limits
 * the depth of expressions, so a long IN must not become a chain of ORs. */
static bool
compile_in_kind(struct compiler *compiler, int path, const cJSON *values, bool strings)
{
    sqlite3_str_appendf(compiler->sql,
                        " OR (json_type(doc, ?%d) IN (%s) AND json_extract(doc, ?%d) IN (", path,
                        strings ? "'text'" : "'integer', 'real'", path);
    const char *separator = "";
    for (const cJSON *value = values->child; value != NULL; value = value->next) {
        int param = 0;
        if (strings ? !cJSON_IsString(value) : !cJSON_IsNumber(value))
            continue;
        if (strings
                ? !add_text(compiler, value->valuestring, strlen(value->valuestring), NULL, &param)
                : !add_number(compiler, value->valuedouble, &param))
            return false;
        sqlite3_str_appendf(compiler->sql, "%s?%d", separator, param);
        separator = ", ";
    }
    sqlite3_str_appendall(compiler->sql, "))");
    return true;
}

static bool
compile_in(struct compiler *compiler, const cJSON *argument)
{
    const cJSON *pair = query_document_only_member(argument);
    int path = 0;
    if (pair == NULL || !cJSON_IsArray(pair) || pair->child == NULL)
        return refuse(compiler, "IN in the query needs one key and a list of values");
    if (!add_path(compiler, pair->string, &path))
        return false;
    const char *words = "";
    bool has_true = false, has_false = false, has_null = false;
    for (const cJSON *value = pair->child; value != NULL; value = value->next) {
        if (cJSON_IsArray(value) || cJSON_IsObject(value))
            return refuse(compiler,
                          "a value in the query must be a string, number, boolean or null");
        has_true |= cJSON_IsTrue(value) != 0;
        has_false |= cJSON_IsFalse(value) != 0;
        has_null |= cJSON_IsNull(value) != 0;
    }
    sqlite3_str_appendf(compiler->sql, "(json_type(doc, ?%d) IN (", path);
    if (has_true)
        sqlite3_str_appendall(compiler->sql, "'true'"), words = ", ";
    if (has_false)
        sqlite3_str_appendf(compiler->sql, "%s'false'", words), words = ", ";
    if (has_null)
        sqlite3_str_appendf(compiler->sql, "%s'null'", words);
    sqlite3_str_appendall(compiler->sql, ")");
    bool ok = compile_in_kind(compiler, path, pair, true) &&
              compile_in_kind(compiler, path, pair, false);
    sqlite3_str_appendall(compiler->sql, ")");
    return ok;
}

static bool
compile_junction(struct compiler *compiler, const char *name, const cJSON *argument)
{
    if (!cJSON_IsArray(argument) || argument->child == NULL)
        return refuse(compiler, "%s in the query needs a list of filters", name);
    sqlite3_str_appendall(compiler->sql, "(");
    for (const cJSON *one = argument->child; one != NULL; one = one->next) {
        if (one != argument->child)
            sqlite3_str_appendf(compiler->sql, " %s ", name);
        if (!compile_filter(compiler, one))
            return false;
    }
    sqlite3_str_appendall(compiler->sql, ")");
    return true;
}

/* Recursion is bounded by QUERY_DEPTH_MAX, which was checked before parsing. */
static bool
compile_filter(struct compiler *compiler, const cJSON *filter)
{
    static const char *const comparisons[][2] = {
        { "EQ", "=" }, { "GT", ">" }, { "GTE", ">=" }, { "LT", "<" }, { "LTE", "<=" }
    };
    const cJSON *member = query_document_only_member(filter);
    if (member == NULL || member->string == NULL)
        return refuse(compiler, "a filter must be an object with one operation");
    if (++compiler->filters > QUERY_FILTERS_MAX)
        return refuse(compiler, "the query has more than %d filters", QUERY_FILTERS_MAX);
    const char *name = member->string;
    for (size_t i = 0; i < sizeof(comparisons) / sizeof(comparisons[0]); i++)
        if (strcmp(name, comparisons[i][0]) == 0)
            return compile_unary(compiler, name, comparisons[i][1], member);
    if (strcmp(name, "NEQ") == 0)
        return compile_not_equal(compiler, member);
    if (strcmp(name, "IN") == 0)
        return compile_in(compiler, member);
    if (strcmp(name, "AND") == 0 || strcmp(name, "OR") == 0)
        return compile_junction(compiler, name, member);
    return refuse(compiler, "unsupported filter operation '%.32s'", name);
}

/* --- the rest of the document ------------------------------------------------------------------*/

static bool
compile_sort(struct compiler *compiler)
{
    const cJSON *one;
    if (!query_document_sort(&compiler->query->document, &one, compiler->error))
        return false;
    sqlite3_str_appendall(compiler->sql, " ORDER BY ");
    for (; one != NULL; one = one->next) {
        const char *key;
        bool descends;
        int path = 0;
        if (!query_document_sort_entry(one, &key, &descends, compiler->error) ||
            !add_path(compiler, key, &path))
            return false;
        sqlite3_str_appendf(compiler->sql, "json_extract(doc, ?%d) %s, ", path,
                            descends ? "DESC" : "ASC");
    }
    /* Pages need an order that is complete. */
    sqlite3_str_appendall(compiler->sql, "key");
    return true;
}

static bool
compile_page(struct compiler *compiler)
{
    const struct query_document *document = &compiler->query->document;
    int64_t rows = RESULT_ROWS_MAX + 1;
    int limit_param = 0, offset_param = 0;
    if (!add_integer(compiler,
                     document->limit > 0 && document->limit < rows ? document->limit : rows,
                     &limit_param) ||
        !add_integer(compiler, document->offset, &offset_param))
        return false;
    sqlite3_str_appendf(compiler->sql, " LIMIT ?%d OFFSET ?%d", limit_param, offset_param);
    return true;
}

char *
prefix_successor(struct remora_slice prefix, size_t *ret_len)
{
    size_t len = prefix.len;
    while (len > 0 && (unsigned char)prefix.data[len - 1] == 0xff)
        len--;
    *ret_len = len;
    if (len == 0)
        return NULL;
    char *text = sqlite3_malloc64(len);
    if (text == NULL)
        abort();
    memcpy(text, prefix.data, len);
    text[len - 1] = (char)((unsigned char)text[len - 1] + 1);
    return text;
}

/* The rows that belong to the caller. They are numbered and sorted first and fetched afterwards, so
 * that sorting holds no values. */
static bool
compile_rows(struct compiler *compiler, struct remora_slice prefix, const char *table)
{
    int now = 0, from = 0, to = 0;
    timestamp_format(timestamp_now_unix_s(), &compiler->query->now);
    if (!add_text(compiler, compiler->query->now.text, TIMESTAMP_LEN, NULL, &now) ||
        !add_text(compiler, prefix.len > 0 ? prefix.data : "", prefix.len, NULL, &from))
        return false;
    sqlite3_str_appendf(
        compiler->sql,
        "SELECT s.key, s.value, s.is_binary, s.etag, s.expiration_time FROM (SELECT id FROM ("
        "SELECT rowid AS id, key, CASE WHEN json_valid(" CONTENT ") THEN " CONTENT " END AS doc"
        " FROM %s"
        " WHERE (expiration_time IS NULL OR expiration_time > ?%d) AND key >= ?%d",
        table, now, from);
    size_t len;
    char *successor = prefix_successor(prefix, &len);
    if (successor != NULL) {
        if (!add_text(compiler, successor, len, successor, &to))
            return false;
        sqlite3_str_appendf(compiler->sql, " AND key < ?%d", to);
    }
    sqlite3_str_appendall(compiler->sql, ")");
    return true;
}

static bool
compile(struct compiler *compiler, struct remora_slice prefix, const char *table)
{
    const cJSON *filter = query_document_filter(&compiler->query->document);
    if (!compile_rows(compiler, prefix, table))
        return false;
    if (filter != NULL) {
        sqlite3_str_appendall(compiler->sql, " WHERE ");
        if (!compile_filter(compiler, filter))
            return false;
    }
    if (!compile_sort(compiler) || !compile_page(compiler))
        return false;
    sqlite3_str_appendf(compiler->sql, ") AS page CROSS JOIN %s AS s ON s.rowid = page.id", table);
    return true;
}

struct failure *
query_init(struct query *query, struct remora_slice document, struct remora_slice prefix,
           const char *table)
{
    *query = (struct query){ .count = 0 };
    struct compiler compiler = { .query = query, .sql = sqlite3_str_new(NULL) };
    bool ok = query_document_init(&query->document, document, compiler.error) &&
              compile(&compiler, prefix, table);
    query->sql = sqlite3_str_finish(compiler.sql);
    if (ok && query->sql == NULL)
        abort();
    if (ok)
        return NULL;
    query_fini(query);
    return failure_new(REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED, "%s", compiler.error);
}

int
query_bind(const struct query *query, sqlite3_stmt *statement)
{
    for (size_t i = 0; i < query->count; i++) {
        const struct parameter *parameter = &query->parameters[i];
        int number = (int)i + 1, rc = SQLITE_OK;
        switch (parameter->kind) {
        case PARAMETER_TEXT:
            rc = sqlite3_bind_text64(statement, number, parameter->text, parameter->len,
                                     SQLITE_STATIC, SQLITE_UTF8);
            break;
        case PARAMETER_INTEGER:
            rc = sqlite3_bind_int64(statement, number, parameter->integer);
            break;
        case PARAMETER_REAL:
            rc = sqlite3_bind_double(statement, number, parameter->real);
            break;
        }
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

void
query_fini(struct query *query)
{
    for (size_t i = 0; i < query->count; i++)
        sqlite3_free(query->parameters[i].owned);
    free(query->parameters);
    sqlite3_free(query->sql);
    query_document_fini(&query->document);
    *query = (struct query){ .sql = NULL };
}
