/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles query documents. A condition tests the type of what its key leads to before it compares:
 * SQL would take true for "true", and refuse to compare "x" with a number. What is compared is NULL
 * where the key is not there, so that NOT does not find it either.
 */
#include "query.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

struct compiler {
    struct query *query;
    char *sql;
    size_t len, capacity;
    int filters;
    char *why;
};

static bool compile_filter(struct compiler *compiler, const cJSON *filter);

static bool __attribute__((format(printf, 2, 3)))
refuse(struct compiler *compiler, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(compiler->why, QUERY_WHY_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

static void __attribute__((format(printf, 2, 3)))
put(struct compiler *compiler, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t needed = compiler->len + (len > 0 ? (size_t)len : 0) + 1;
    if (needed > compiler->capacity) {
        compiler->capacity = needed * 2;
        compiler->sql = realloc(compiler->sql, compiler->capacity);
        if (compiler->sql == NULL)
            abort();
    }
    (void)vsnprintf(compiler->sql + compiler->len, compiler->capacity - compiler->len, format,
                    again);
    va_end(again);
    compiler->len = needed - 1;
}

/* --- parameters --------------------------------------------------------------------------------*/

/* Appends a copy and puts its number at *ret. */
static bool
add_text(struct compiler *compiler, const char *text, size_t len, int *ret)
{
    struct query *query = compiler->query;
    if (query->count == QUERY_PARAMETERS_MAX)
        return refuse(compiler, "the query has more than %d keys and values", QUERY_PARAMETERS_MAX);
    if (query->count == query->capacity) {
        size_t capacity = query->capacity > 0 ? (size_t)query->capacity * 2 : 16;
        query->values = realloc(query->values, capacity * sizeof *query->values);
        query->lengths = realloc(query->lengths, capacity * sizeof *query->lengths);
        if (query->values == NULL || query->lengths == NULL)
            abort();
        query->capacity = (int)capacity;
    }
    char *copy = memory_new(len + 1);
    if (len > 0)
        memcpy(copy, text, len);
    query->values[query->count] = copy;
    query->lengths[query->count++] = (int)len;
    *ret = query->count;
    return true;
}

/* In the fewest digits that mean the same number, which is how it was written. */
static bool
add_number(struct compiler *compiler, double value, int *ret)
{
    char text[40];
    if (!isfinite(value))
        return refuse(compiler, "a number in the query is out of range");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) >= value && strtod(text, NULL) <= value)
            break;
    }
    return add_text(compiler, text, strlen(text), ret);
}

/* "a.b" becomes the path `s.value -> $1 -> $2`, of malloc(). */
static bool
make_path(struct compiler *compiler, const char *key, char **ret_path)
{
    size_t len = key != NULL ? strlen(key) : 0;
    if (len == 0 || len > QUERY_KEY_BYTES_MAX)
        return refuse(compiler, "a key in the query is empty or longer than %d bytes",
                      QUERY_KEY_BYTES_MAX);
    char *path = memory_text("s.doc");
    for (const char *at = key;; at++) {
        size_t part = strcspn(at, ".");
        int param = 0;
        if (part == 0)
            (void)refuse(compiler, "key '%.64s' in the query has an empty part", key);
        if (part == 0 || !add_text(compiler, at, part, &param)) {
            free(path);
            return false;
        }
        char *longer = memory_printf("%s -> $%d::text", path, param);
        free(path);
        path = longer;
        at += part;
        if (*at == '\0')
            break;
    }
    *ret_path = path;
    return true;
}

/* --- conditions --------------------------------------------------------------------------------*/

/* Expressions of one kind, NULL where there is nothing. */
static void
put_typed(struct compiler *compiler, const char *path, const char *type, const char *condition)
{
    put(compiler,
        "(CASE WHEN jsonb_typeof(%s) = '%s' THEN %s WHEN (%s) IS NOT NULL THEN false END)", path,
        type, condition, path);
}

static bool
compile_comparison(struct compiler *compiler, const char *path, const char *operator,
                   const cJSON * value)
{
    int param = 0;
    bool is_equality = strcmp(operator, "=") == 0;
    char *condition = NULL;
    if (cJSON_IsString(value)) {
        if (!add_text(compiler, value->valuestring, strlen(value->valuestring), &param))
            return false;
        condition = memory_printf("((%s) #>> '{}') COLLATE \"C\" %s $%d::text", path, operator,
                                  param);
        put_typed(compiler, path, "string", condition);
    } else if (cJSON_IsNumber(value)) {
        if (!add_number(compiler, value->valuedouble, &param))
            return false;
        condition = memory_printf("((%s) #>> '{}')::numeric %s $%d::text::numeric", path, operator,
                                  param);
        put_typed(compiler, path, "number", condition);
    } else if (is_equality && (cJSON_IsBool(value) || cJSON_IsNull(value))) {
        put(compiler, "((%s) = '%s'::jsonb)", path,
            cJSON_IsTrue(value)    ? "true"
            : cJSON_IsFalse(value) ? "false"
                                   : "null");
    } else {
        return refuse(compiler,
                      is_equality ? "a value in the query must be a string, number, boolean or null"
                                  : "a value to compare with must be a string or a number");
    }
    free(condition);
    return true;
}

static bool
compile_unary(struct compiler *compiler, const char *name, const char *operator,
              const cJSON * argument)
{
    const cJSON *pair = query_document_only_member(argument);
    char *path = NULL;
    if (pair == NULL)
        return refuse(compiler, "%s in the query needs one key and value", name);
    if (!make_path(compiler, pair->string, &path))
        return false;
    bool ok = compile_comparison(compiler, path, operator, pair);
    free(path);
    return ok;
}

static bool
compile_not_equal(struct compiler *compiler, const cJSON *argument)
{
    put(compiler, "(NOT ");
    bool ok = compile_unary(compiler, "NEQ", "=", argument);
    put(compiler, ")");
    return ok;
}

static bool
put_list(struct compiler *compiler, const cJSON *values, bool strings)
{
    const char *separator = "";
    for (const cJSON *value = values->child; value != NULL; value = value->next) {
        int param = 0;
        if (strings ? !cJSON_IsString(value) : !cJSON_IsNumber(value))
            continue;
        if (strings ? !add_text(compiler, value->valuestring, strlen(value->valuestring), &param)
                    : !add_number(compiler, value->valuedouble, &param))
            return false;
        put(compiler, "%s$%d::text%s", separator, param, strings ? "" : "::numeric");
        separator = ", ";
    }
    put(compiler, "]::%s[])", strings ? "text" : "numeric");
    return true;
}

/* A chain of ORs would be as deep as the list is long, so there is one test for each kind. */
static bool
compile_in_list(struct compiler *compiler, const char *path, const cJSON *values)
{
    static const char *const words[] = { "true", "false", "null" };
    bool has[3] = { false, false, false };
    for (const cJSON *value = values->child; value != NULL; value = value->next) {
        if (cJSON_IsArray(value) || cJSON_IsObject(value))
            return refuse(compiler,
                          "a value in the query must be a string, number, boolean or null");
        has[0] |= cJSON_IsTrue(value) != 0;
        has[1] |= cJSON_IsFalse(value) != 0;
        has[2] |= cJSON_IsNull(value) != 0;
    }
    put(compiler, "(CASE jsonb_typeof(%s) WHEN 'string' THEN ((%s) #>> '{}') = ANY(ARRAY[", path,
        path);
    if (!put_list(compiler, values, true))
        return false;
    put(compiler, " WHEN 'number' THEN ((%s) #>> '{}')::numeric = ANY(ARRAY[", path);
    if (!put_list(compiler, values, false))
        return false;
    put(compiler, " ELSE");
    for (size_t i = 0; i < 3; i++)
        if (has[i])
            put(compiler, " (%s) = '%s'::jsonb OR", path, words[i]);
    put(compiler, " false END)");
    return true;
}

static bool
compile_in(struct compiler *compiler, const cJSON *argument)
{
    const cJSON *pair = query_document_only_member(argument);
    char *path = NULL;
    if (pair == NULL || !cJSON_IsArray(pair) || pair->child == NULL)
        return refuse(compiler, "IN in the query needs one key and a list of values");
    if (!make_path(compiler, pair->string, &path))
        return false;
    bool ok = compile_in_list(compiler, path, pair);
    free(path);
    return ok;
}

static bool
compile_junction(struct compiler *compiler, const char *name, const cJSON *argument)
{
    if (!cJSON_IsArray(argument) || argument->child == NULL)
        return refuse(compiler, "%s in the query needs a list of filters", name);
    put(compiler, "(");
    for (const cJSON *one = argument->child; one != NULL; one = one->next) {
        if (one != argument->child)
            put(compiler, " %s ", name);
        if (!compile_filter(compiler, one))
            return false;
    }
    put(compiler, ")");
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
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++)
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

/* Nothing and null, then booleans and numbers, then texts, and objects and lists as such. */
static void
put_order(struct compiler *compiler, const char *path, bool descends)
{
    const char *word = descends ? "DESC" : "ASC";
    put(compiler,
        "(CASE coalesce(jsonb_typeof(%s), 'null') WHEN 'null' THEN 0 WHEN 'number' THEN 1"
        " WHEN 'boolean' THEN 1 ELSE 2 END) %s,"
        " (CASE jsonb_typeof(%s) WHEN 'number' THEN ((%s) #>> '{}')::numeric"
        " WHEN 'boolean' THEN ((%s)::boolean)::int::numeric ELSE 0 END) %s,"
        " (coalesce((%s) #>> '{}', '') COLLATE \"C\") %s, ",
        path, word, path, path, path, word, path, word);
}

static bool
compile_sort(struct compiler *compiler)
{
    const cJSON *one;
    if (!query_document_sort(&compiler->query->document, &one, compiler->why))
        return false;
    put(compiler, " ORDER BY ");
    for (; one != NULL; one = one->next) {
        const char *key;
        bool descends;
        char *path = NULL;
        if (!query_document_sort_entry(one, &key, &descends, compiler->why) ||
            !make_path(compiler, key, &path))
            return false;
        put_order(compiler, path, descends);
        free(path);
    }
    put(compiler, "s.key COLLATE \"C\""); /* pages need an order that is complete */
    return true;
}

/* The rows that belong to the caller. */
static bool
compile_rows(struct compiler *compiler, const struct layout *layout, struct remora_slice prefix,
             const char *table)
{
    int param = 0;
    if (!add_text(compiler, prefix.data, prefix.len, &param))
        return false;
    put(compiler,
        "SELECT %s, s.key FROM (SELECT *, xmin, CASE WHEN isbinary THEN NULL ELSE value END AS doc"
        " FROM %s) AS s WHERE %s AND starts_with(s.key, $%d::text)",
        layout->columns, table, layout->is_valid, param);
    return true;
}

static bool
compile(struct compiler *compiler, const struct layout *layout, struct remora_slice prefix,
        const char *table, int64_t rows_max)
{
    const struct query_document *document = &compiler->query->document;
    const cJSON *filter = query_document_filter(document);
    int64_t rows = document->limit > 0 && document->limit < rows_max ? document->limit : rows_max;
    if (!compile_rows(compiler, layout, prefix, table))
        return false;
    if (filter != NULL) {
        put(compiler, " AND ");
        if (!compile_filter(compiler, filter))
            return false;
    }
    if (!compile_sort(compiler))
        return false;
    put(compiler, " LIMIT %lld OFFSET %lld", (long long)rows, (long long)document->offset);
    return true;
}

bool
query_init(struct query *query, struct remora_slice document, struct remora_slice prefix,
           const struct layout *layout, const char *table, int64_t rows_max,
           char ret_why[QUERY_WHY_BYTES])
{
    *query = (struct query){ .count = 0 };
    struct compiler compiler = { .query = query, .why = ret_why };
    bool ok = query_document_init(&query->document, document, ret_why) &&
              compile(&compiler, layout, prefix, table, rows_max);
    query->sql = compiler.sql;
    if (!ok)
        query_fini(query);
    return ok;
}

void
query_fini(struct query *query)
{
    for (int i = 0; i < query->count; i++)
        free(query->values[i]);
    free(query->values);
    free(query->lengths);
    free(query->sql);
    query_document_fini(&query->document);
    *query = (struct query){ .count = 0 };
}
