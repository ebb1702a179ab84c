/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL functions that queries and key listings use:
 *   from_base64(value)      the bytes as text; NULL if it is not base64
 *   key_like(key, pattern)  LIKE with \ as escape: case counts, and whatever the pattern, the time
 *                           is at most the product of the lengths
 */
#ifndef SQLITE_PLUGIN_FUNCTIONS_H
#define SQLITE_PLUGIN_FUNCTIONS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

int functions_register(sqlite3 *db);

bool key_like(const char *key, size_t key_len, const char *pattern, size_t pattern_len);

#endif
