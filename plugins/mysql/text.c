/* SPDX-License-Identifier: Apache-2.0 */
/* See text.h. The sizes are those of requests, which the sidecar has bounded. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/base64.h"

enum { CAP_MIN = 1024, CAP_KEPT = 256 * 1024 };

static char *
reserve(struct text *text, size_t more)
{
    if (text->cap - text->len < more) {
        size_t cap = text->cap * 2 < CAP_MIN ? CAP_MIN : text->cap * 2;
        if (cap - text->len < more)
            cap = text->len + more;
        text->data = realloc(text->data, cap);
        if (text->data == NULL)
            abort();
        text->cap = cap;
    }
    return text->data + text->len;
}

void
text_clear(struct text *text)
{
    text->len = 0;
    if (text->cap > CAP_KEPT)
        text_fini(text);
}

void
text_fini(struct text *text)
{
    free(text->data);
    *text = (struct text){ .data = NULL };
}

void
text_put(struct text *text, const char *words)
{
    size_t len = strlen(words);
    memcpy(reserve(text, len), words, len);
    text->len += len;
}

void
text_add(struct text *text, const char *format, ...)
{
    char *words;
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(&words, format, arguments);
    va_end(arguments);
    if (len < 0)
        abort();
    text_put(text, words);
    free(words);
}

void
text_quote(struct text *text, MYSQL *db, struct remora_slice value)
{
    char *at = reserve(text, value.len * 2 + 3);
    *at = '\'';
    size_t len = value.len == 0
                     ? 0
                     : mysql_real_escape_string(db, at + 1, value.data, (unsigned long)value.len);
    at[len + 1] = '\'';
    text->len += len + 2;
}

void
text_base64(struct text *text, struct remora_slice value)
{
    size_t len = base64_encoded_len(value.len);
    text_put(text, "'\"");
    base64_encode(value.data, value.len, reserve(text, len));
    text->len += len;
    text_put(text, "\"'");
}
