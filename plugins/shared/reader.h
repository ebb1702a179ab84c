/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of a component, read field by field; the first complaint is what the user is told. */
#ifndef PLUGINS_SHARED_READER_H
#define PLUGINS_SHARED_READER_H

#include <remora_plugin.h>
#include <stdarg.h>
#include <stdio.h>

struct reader {
    const struct remora_config *config;
    char *why; /* the first complaint */
    size_t why_bytes;
    const char *prefix; /* of what it says, or NULL */
    bool failed;
};

__attribute__((format(printf, 2, 3))) static inline void
reader_complain(struct reader *reader, const char *format, ...)
{
    if (reader->failed)
        return;
    reader->failed = true;
    int used = reader->prefix == NULL
                   ? 0
                   : snprintf(reader->why, reader->why_bytes, "%s", reader->prefix);
    if (used < 0 || (size_t)used >= reader->why_bytes)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reader->why + used, reader->why_bytes - (size_t)used, format, args);
    va_end(args);
}

/* Names in any case; an empty value is none. */
static inline bool
reader_find(const struct reader *reader, const char *name, struct remora_slice *ret)
{
    return remora_metadata_get(reader->config->metadata, reader->config->metadata_count, name,
                               ret) &&
           ret->len > 0;
}

#endif
