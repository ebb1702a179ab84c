/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL functions of our own. Both are pure and run on whatever thread steps the statement.
 */
#include "functions.h"

#include <stdlib.h>

#include "../shared/base64.h"

static size_t
character_len(const char *text, size_t len)
{
    size_t n = 1;
    while (n < len && ((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The usual walk with one point to return to: when nothing fits, the latest % takes one more
 * byte. Earlier ones never need to be tried again. */
bool
key_like(const char *key, size_t key_len, const char *pattern, size_t pattern_len)
{
    size_t k = 0, p = 0, retry_key = 0, retry_pattern = 0;
    bool can_retry = false;
    while (k < key_len || p < pattern_len) {
        if (p < pattern_len && pattern[p] == '%') {
            can_retry = true;
            retry_key = k;
            retry_pattern = ++p;
            continue;
        }
        if (p < pattern_len && k < key_len) {
            size_t literal = pattern[p] == '\\' && p + 1 < pattern_len ? p + 1 : p;
            if (literal == p && pattern[p] == '_') {
                k += character_len(key + k, key_len - k);
                p++;
                continue;
            }
            if (pattern[literal] == key[k]) {
                k++;
                p = literal + 1;
                continue;
            }
        }
        if (!can_retry || retry_key >= key_len)
            return false;
        k = ++retry_key; /* a byte: half a character never fits anything but _ and its rest */
        p = retry_pattern;
    }
    return true;
}

static void
sql_key_like(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count; /* registered with two */
    const char *key = sqlite3_value_blob(arguments[0]);
    const char *pattern = sqlite3_value_blob(arguments[1]);
    size_t key_len = (size_t)sqlite3_value_bytes(arguments[0]);
    size_t pattern_len = (size_t)sqlite3_value_bytes(arguments[1]);
    sqlite3_result_int(context, key_like(key, key_len, pattern, pattern_len));
}

static void
sql_from_base64(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count; /* registered with one */
    const char *text = sqlite3_value_blob(arguments[0]);
    size_t len = (size_t)sqlite3_value_bytes(arguments[0]), decoded = 0;
    char *out = malloc(len + 1);
    if (out == NULL)
        sqlite3_result_error_nomem(context);
    else if (base64_decode(text, len, out, &decoded))
        sqlite3_result_text64(context, out, decoded, SQLITE_TRANSIENT, SQLITE_UTF8);
    else
        sqlite3_result_null(context);
    free(out);
}

int
functions_register(sqlite3 *db)
{
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
    int rc = sqlite3_create_function(db, "key_like", 2, flags, NULL, sql_key_like, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(db, "from_base64", 1, flags, NULL, sql_from_base64, NULL,
                                     NULL);
    return rc;
}
