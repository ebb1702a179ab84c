/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sidecar's log: one line an entry on standard output (and in a file, if one is asked for), in
 * the reference runtime's text form (logrus) or as JSON. Any thread; a line is written with one
 * write(2). Nothing logged may hold a secret or a payload. Debug lines cost one comparison when
 * debug is off.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/macros.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL };

struct log_config {
    enum log_level level;
    bool json;
    const char *app_id;   /* borrowed for the life of the process */
    const char *instance; /* host name */
    const char *version;
    int fd; /* 1 */
};

/* Lines go to this file too, at its end. Before other threads exist; again at any time, for a file
 * that has been moved away: then the one of that name is opened anew. False with errno, and
 * everything is as before. */
bool log_open_file(const char *path);

/* Before other threads exist. */
void log_setup(const struct log_config *config);
bool log_level_from_name(struct slice name, enum log_level *ret_level);

extern enum log_level log_threshold;

/* `scope` is a dotted name such as dapr.runtime. Message cut at 16 KiB. */
void log_write(enum log_level level, const char *scope, const char *format, ...) PRINTF_LIKE(3, 4);

/* A field of its own beside the common ones. */
struct log_field {
    const char *name;
    struct slice text;
    bool is_number; /* not quoted in JSON */
};

enum { LOG_FIELDS_MAX = 8 };

/* The same with fields, and whatever the threshold. */
void log_write_fields(enum log_level level, const char *scope, struct slice message,
                      const struct log_field *fields, size_t count);

#define LOG_AT(level, scope, ...)                                                                  \
    do {                                                                                           \
        if ((level) >= log_threshold)                                                              \
            log_write((level), (scope), __VA_ARGS__);                                              \
    } while (0)

#define log_debug(scope, ...) LOG_AT(LOG_DEBUG, scope, __VA_ARGS__)
#define log_info(scope, ...) LOG_AT(LOG_INFO, scope, __VA_ARGS__)
#define log_warn(scope, ...) LOG_AT(LOG_WARN, scope, __VA_ARGS__)
#define log_error(scope, ...) LOG_AT(LOG_ERROR, scope, __VA_ARGS__)
#define log_fatal(scope, ...) LOG_AT(LOG_FATAL, scope, __VA_ARGS__)

#endif
