/* SPDX-License-Identifier: Apache-2.0 */
/* One write(2) a line, logrus text or JSON; see log.h. */
#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* A line has room for a message of which every byte becomes an escape. */
enum { MESSAGE_BYTES = 16 * 1024, LINE_BYTES = 6 * MESSAGE_BYTES + 4096 };

enum log_level log_threshold = LOG_INFO;
static struct log_config settings = {
    .level = LOG_INFO, .app_id = "", .instance = "", .version = "", .fd = 1
};

static int file_fd = -1; /* -1: there is no file */

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info",   [LOG_WARN] = "warning",
    [LOG_ERROR] = "error", [LOG_FATAL] = "fatal",
};

void
log_setup(const struct log_config *config)
{
    settings = *config;
    log_threshold = config->level;
}

/* The number stays the same, so that a line being written elsewhere goes to the one or the other. A
 * pipe that nobody reads must not stop us. */
bool
log_open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0 || file_fd < 0) {
        file_fd = fd < 0 ? file_fd : fd;
        return fd >= 0;
    }
    bool is_done = dup3(fd, file_fd, O_CLOEXEC) >= 0;
    (void)close(fd); /* nothing was written to it */
    return is_done;
}

bool
log_level_from_name(struct slice name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (slice_eq_nocase(name, slice_str(level_names[i]))) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    if (!slice_eq_nocase(name, SLICE("warn")))
        return false;
    *ret_level = LOG_WARN;
    return true;
}

struct line {
    size_t len;
    char text[LINE_BYTES];
};

static void
put(struct line *line, struct slice s)
{
    size_t room = sizeof line->text - 1 - line->len; /* one byte stays free for the line feed */
    size_t len = s.len < room ? s.len : room;
    memcpy(line->text + line->len, s.data, len);
    line->len += len;
}

/* A byte that neither form may hold as it is. */
static void
put_escaped(struct line *line, unsigned char c)
{
    char escape[8];
    if (c >= 0x80 && settings.json) /* not UTF-8 */
        put(line, SLICE("\\ufffd"));
    else
        put(line, slice_of(escape, (size_t)snprintf(escape, sizeof escape,
                                                    settings.json ? "\\u%04x" : "\\x%02x", c)));
}

/* Go's %q and JSON agree on everything a log message holds but control bytes and broken UTF-8. */
static void
put_quoted(struct line *line, struct slice s)
{
    put(line, SLICE("\""));
    for (size_t i = 0, len = 1; i < s.len; i += len) {
        unsigned char c = (unsigned char)s.data[i];
        size_t sequence = slice_utf8_len(slice_from(s, i));
        len = sequence == 0 ? 1 : sequence;
        if (c == '"' || c == '\\')
            put(line, slice_of((char[]){ '\\', (char)c }, 2));
        else if (c == '\n')
            put(line, SLICE("\\n"));
        else if (c == '\r')
            put(line, SLICE("\\r"));
        else if (c == '\t')
            put(line, SLICE("\\t"));
        else if (c < 0x20 || c == 0x7f || sequence == 0)
            put_escaped(line, c);
        else
            put(line, slice_of(&s.data[i], len));
    }
    put(line, SLICE("\""));
}

/* logrus quotes a value only if it holds something else than these. */
static void
put_value(struct line *line, struct slice s)
{
    bool is_plain = true;
    for (size_t i = 0; i < s.len && is_plain; i++) {
        char c = s.data[i];
        is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   memchr("-._/@^+", c, 7) != NULL;
    }
    if (is_plain)
        put(line, s);
    else
        put_quoted(line, s);
}

/* Wall time with nanoseconds; the fake clock is not consulted, a log tells the truth. */
static struct slice
timestamp(char text[64])
{
    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    if (gmtime_r(&now.tv_sec, &tm) == NULL)
        return SLICE_EMPTY;
    size_t len = strftime(text, 64, "%Y-%m-%dT%H:%M:%S", &tm);
    len += (size_t)snprintf(text + len, 64 - len, ".%09ldZ", now.tv_nsec);
    return slice_of(text, len);
}

/* --- fields ------------------------------------------------------------------------------------*/

enum { COMMON_FIELDS = 5 };

struct fields {
    struct log_field items[COMMON_FIELDS + LOG_FIELDS_MAX + 3];
    size_t count;
};

/* Keeps them in the order of their names, as logrus writes them. */
static void
add_field(struct fields *fields, struct log_field field)
{
    size_t at = fields->count++;
    for (; at > 0 && strcmp(fields->items[at - 1].name, field.name) > 0; at--)
        fields->items[at] = fields->items[at - 1];
    fields->items[at] = field;
}

static void
add_text(struct fields *fields, const char *name, struct slice text)
{
    add_field(fields, (struct log_field){ .name = name, .text = text });
}

static void
add_common(struct fields *fields, const char *scope)
{
    if (settings.app_id[0] != '\0') /* before the command line is read there is none */
        add_text(fields, "app_id", slice_str(settings.app_id));
    add_text(fields, "instance", slice_str(settings.instance));
    add_text(fields, "scope", slice_str(scope));
    add_text(fields, "type", SLICE("log"));
    add_text(fields, "ver", slice_str(settings.version));
}

static void
format_text(struct line *line, enum log_level level, struct slice message, struct fields *fields)
{
    char time[64];
    put(line, SLICE("time="));
    put_quoted(line, timestamp(time));
    put(line, SLICE(" level="));
    put(line, slice_str(level_names[level]));
    put(line, SLICE(" msg="));
    put_quoted(line, message);
    for (size_t i = 0; i < fields->count; i++) {
        put(line, SLICE(" "));
        put(line, slice_str(fields->items[i].name));
        put(line, SLICE("="));
        put_value(line, fields->items[i].text);
    }
}

static void
format_json(struct line *line, enum log_level level, struct slice message, struct fields *fields)
{
    char time[64];
    add_text(fields, "level", slice_str(level_names[level]));
    add_text(fields, "msg", message);
    add_text(fields, "time", timestamp(time));
    for (size_t i = 0; i < fields->count; i++) {
        put(line, i == 0 ? SLICE("{") : SLICE(","));
        put_quoted(line, slice_str(fields->items[i].name));
        put(line, SLICE(":"));
        if (fields->items[i].is_number)
            put(line, fields->items[i].text);
        else
            put_quoted(line, fields->items[i].text);
    }
    put(line, SLICE("}"));
}

static void
write_line(enum log_level level, struct slice message, struct fields *fields)
{
    static __thread struct line line; /* not on a task's stack: tasks have little of it */
    line.len = 0;
    if (settings.json)
        format_json(&line, level, message, fields);
    else
        format_text(&line, level, message, fields);
    line.text[line.len++] = '\n';
    ssize_t written = write(settings.fd, line.text, line.len);
    if (file_fd >= 0)
        written = write(file_fd, line.text, line.len);
    (void)written; /* a log that cannot be written has nowhere to complain */
}

void
log_write_fields(enum log_level level, const char *scope, struct slice message,
                 const struct log_field *extra, size_t extra_count)
{
    struct fields fields = { .count = 0 };
    add_common(&fields, scope);
    for (size_t i = 0; i < extra_count && i < LOG_FIELDS_MAX; i++)
        add_field(&fields, extra[i]);
    write_line(level, slice_first(message, MESSAGE_BYTES), &fields);
}

void
log_write(enum log_level level, const char *scope, const char *format, ...)
{
    static __thread char message[MESSAGE_BYTES]; /* likewise */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    size_t kept = len < 0 ? 0 : (size_t)len < sizeof message ? (size_t)len : sizeof message - 1;
    log_write_fields(level, scope, slice_of(message, kept), NULL, 0);
}
