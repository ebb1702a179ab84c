/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of bytes that the grammar of HTTP/1.1 knows (RFC 9110 section 5, RFC 3986), in one table.
 * Pure; used by every parser and by the writer of headers.
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <stdbool.h>

#include "base/slice.h"

enum {
    CHAR_TOKEN = 1,  /* methods, header names */
    CHAR_VALUE = 2,  /* header values: visible, blank, tab, or not ASCII */
    CHAR_TARGET = 4, /* request targets: visible or not ASCII, as lenient as the reference */
    CHAR_HOST = 8,   /* the Host header */
    CHAR_HEX = 16,
};

extern const unsigned char char_classes[256];

static inline bool
char_is(char c, unsigned class)
{
    return (char_classes[(unsigned char)c] & class) != 0;
}

/* Every byte is of one of the classes; true for an empty slice. */
bool chars_are(struct slice s, unsigned class);
/* chars_are(s, CHAR_VALUE), eight bytes at a time. */
bool chars_are_value(struct slice s);
/* Value of a hex digit, -1 for any other byte. */
int char_hex(char c);

#endif
