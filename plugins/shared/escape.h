/* SPDX-License-Identifier: Apache-2.0 */
/* Text as Go's url.QueryEscape has it. */
#ifndef PLUGINS_SHARED_ESCAPE_H
#define PLUGINS_SHARED_ESCAPE_H

#include <remora_plugin.h>

enum { ESCAPE_FACTOR = 3 };

/* `ret` has room for ESCAPE_FACTOR times the text; returns the bytes that were written. */
static inline size_t
escape_query(struct remora_slice text, char *ret)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                        (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.' ||
                        byte == '~';
        if (is_plain || byte == ' ') {
            ret[len++] = byte == ' ' ? '+' : (char)byte;
        } else {
            ret[len++] = '%';
            ret[len++] = hex[byte >> 4];
            ret[len++] = hex[byte & 15];
        }
    }
    return len;
}

#endif
