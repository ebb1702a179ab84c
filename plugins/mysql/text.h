/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A statement being written. What comes from outside goes through text_quote() or text_base64();
 * names of tables have been checked when the component was read.
 */
#ifndef MYSQL_PLUGIN_TEXT_H
#define MYSQL_PLUGIN_TEXT_H

#include <mariadb/mysql.h>
#include <remora_plugin.h>

struct text {
    char *data;
    size_t len, cap;
};

void text_clear(struct text *text); /* keeps what it needs for the next one, not more */
void text_fini(struct text *text);

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_put(struct text *text, const char *words);
/* As a string of the connection's character set, with its quotes. */
void text_quote(struct text *text, MYSQL *db, struct remora_slice value);
/* As a JSON string of base64, with the quotes of both. */
void text_base64(struct text *text, struct remora_slice value);

#endif
