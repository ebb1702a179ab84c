/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory whose size we choose ourselves: being out of it ends the process, which the sidecar starts
 * again.
 */
#ifndef PLUGINS_SHARED_MEMORY_H
#define PLUGINS_SHARED_MEMORY_H

#include <remora_plugin.h>
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

/* A NUL-terminated copy; what follows a NUL inside is not seen by others. */
static inline char *
memory_slice(struct remora_slice text)
{
    const char *nul = text.len == 0 ? NULL : memchr(text.data, '\0', text.len);
    size_t len = nul == NULL ? text.len : (size_t)(nul - text.data);
    char *copy = memory_new(len + 1);
    if (len > 0)
        memcpy(copy, text.data, len);
    return copy;
}

/* Of secrets: not left behind. NULL is fine. */
static inline void
memory_wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

#endif
