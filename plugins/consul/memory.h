/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory whose size we choose ourselves: being out of it ends the process, which the sidecar starts
 * again.
 */
#ifndef CONSUL_PLUGIN_MEMORY_H
#define CONSUL_PLUGIN_MEMORY_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed. */
static inline void *
memory_new(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        abort();
    return memory;
}

static inline char *
memory_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

__attribute__((format(printf, 1, 2))) static inline char *
memory_printf(const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    return text;
}

#endif
