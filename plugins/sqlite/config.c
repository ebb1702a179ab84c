/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a component's metadata. The connection string is a path or a `file:` URI with a query
 * string in the style of the reference's driver: `_txlock` and `_pragma` are that driver's, `mode`,
 * `immutable`, `vfs` and the like go on to SQLite.
 */
#include "config.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "failure.h"

enum { TIMEOUT_MIN_MS = 1000 };

/* What is gathered while the connection string is taken apart. */
struct parsing {
    struct store_config *config;
    sqlite3_str *query; /* parameters that SQLite itself reads */
    sqlite3_str *pragmas;
    bool has_mode, has_immutable, has_txlock;
    char *error;
};

static bool
refuse(struct parsing *parsing, const char *what, const char *detail)
{
    snprintf(parsing->error, FAILURE_BYTES_MAX, "%s%s", what, detail);
    return false;
}

static bool
hex(char c, unsigned *ret)
{
    if (c >= '0' && c <= '9')
        *ret = (unsigned)(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        *ret = (unsigned)((c | 0x20) - 'a') + 10;
    else
        return false;
    return true;
}

/* Percent-decodes in place; `plus` also turns + into a space, as in query strings. */
static void
decode_percent(char *text, bool plus)
{
    char *to = text;
    unsigned high, low;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '%' && hex(at[1], &high) && hex(at[2], &low) && (high | low) != 0) {
            *to++ = (char)(high << 4 | low);
            at += 2;
        } else {
            *to++ = plus && *at == '+' ? ' ' : *at;
        }
    }
    *to = '\0';
}

static bool
starts_with(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

/* A pragma is `name(value)` or `name=value` of plain words, so that the statement made of it can
 * hold nothing else. */
static bool
is_plain_pragma(const char *text)
{
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (name == 0)
        return false;
    const char *value = text + name;
    if (*value == '\0')
        return true;
    char open = *value++;
    size_t len = strspn(value,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-. ");
    value += len;
    return open == '(' ? strcmp(value, ")") == 0 : open == '=' && *value == '\0';
}

static bool
read_pragma(struct parsing *parsing, const char *value)
{
    static const char *const forbidden[] = { "busy_timeout", "journal_mode", "foreign_keys" };
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        if (starts_with(value, forbidden[i])) {
            snprintf(parsing->error, FAILURE_BYTES_MAX,
                     "found forbidden option '_pragma=%s' in the connection string", forbidden[i]);
            return false;
        }
    }
    if (!is_plain_pragma(value))
        return refuse(parsing, "invalid option '_pragma' in the connection string: ", value);
    if (starts_with(value, "synchronous"))
        snprintf(
            parsing->config->warning, sizeof(parsing->config->warning),
            "the connection string sets synchronous itself: saves may not survive a power cut");
    sqlite3_str_appendf(parsing->pragmas, "PRAGMA %s;", value);
    return true;
}

static bool
read_txlock(struct parsing *parsing, const char *value)
{
    if (strcasecmp(value, "immediate") == 0)
        return true;
    /* Every transaction here begins with its first write, so these come to the same. */
    if (strcasecmp(value, "deferred") == 0 || strcasecmp(value, "exclusive") == 0) {
        snprintf(parsing->config->warning, sizeof(parsing->config->warning),
                 "_txlock=%s in the connection string is treated as immediate", value);
        return true;
    }
    return refuse(parsing, "invalid option '_txlock' in the connection string: ", value);
}

/* Parameters for SQLite go on as they were written, the first of each only. */
static bool
read_sqlite_parameter(struct parsing *parsing, const char *name, const char *value,
                      const char *written)
{
    struct database_config *database = &parsing->config->database;
    bool *seen = strcmp(name, "mode") == 0        ? &parsing->has_mode
                 : strcmp(name, "immutable") == 0 ? &parsing->has_immutable
                                                  : NULL;
    if (seen != NULL && *seen)
        return true;
    if (seen != NULL)
        *seen = true;
    /* Making the file is the default, and up to the writer alone. */
    if (strcmp(name, "mode") == 0 && strcmp(value, "rwc") == 0)
        return true;
    if (strcmp(name, "mode") == 0 && strcmp(value, "memory") == 0)
        database->in_memory = true;
    if ((strcmp(name, "mode") == 0 && strcmp(value, "ro") == 0) ||
        (strcmp(name, "immutable") == 0 && strcmp(value, "1") == 0))
        database->is_read_only = true;
    sqlite3_str_appendf(parsing->query, "%s%s", sqlite3_str_length(parsing->query) > 0 ? "&" : "",
                        written);
    return true;
}

static bool
read_parameter(struct parsing *parsing, char *written)
{
    char *copy = sqlite3_mprintf("%s", written);
    if (copy == NULL)
        abort();
    char *value = strchr(copy, '=');
    if (value != NULL)
        *value++ = '\0';
    else
        value = copy + strlen(copy);
    decode_percent(copy, true);
    decode_percent(value, true);

    bool ok = true;
    if (strcmp(copy, "_pragma") == 0) {
        ok = read_pragma(parsing, value);
    } else if (strcmp(copy, "_txlock") == 0) {
        ok = parsing->has_txlock || read_txlock(parsing, value);
        parsing->has_txlock = true;
    } else if (strcmp(copy, "cache") == 0 || *copy == '\0') {
        /* Connections are shared by this plugin itself; SQLite's shared cache would only add table
         * locks. */
    } else if (*copy == '_') {
        snprintf(parsing->config->warning, sizeof(parsing->config->warning),
                 "option %.64s in the connection string has no effect", copy);
    } else {
        ok = read_sqlite_parameter(parsing, copy, value, written);
    }
    sqlite3_free(copy);
    return ok;
}

/* The file that a name means, however it is spelt; malloc()ed, or NULL if the name is odd. */
static char *
canonical_path(const char *uri_name)
{
    char *name = strdup(uri_name);
    if (name == NULL)
        abort();
    char *start = starts_with(name, "file:") ? name + 5 : name;
    start[strcspn(start, "#")] = '\0';
    if (strncmp(start, "//", 2) == 0) {
        char *path = strchr(start + 2, '/');
        start = path != NULL ? path : start;
    }
    decode_percent(start, false);
    char *real = realpath(start, NULL);
    if (real == NULL) { /* not there yet: its directory must be */
        char *copy = strdup(start);
        if (copy == NULL)
            abort();
        char *folder = realpath(dirname(copy), NULL);
        char *joined = sqlite3_mprintf("%s/%s", folder != NULL ? folder : "", basename(start));
        real = folder != NULL && joined != NULL ? strdup(joined) : NULL;
        sqlite3_free(joined);
        free(folder);
        free(copy);
    }
    free(name);
    return real;
}

static void
finish_database(struct parsing *parsing, const char *name)
{
    struct database_config *database = &parsing->config->database;
    const char *prefix = starts_with(name, "file:") ? "" : "file:";
    char *query = sqlite3_str_finish(parsing->query);
    database->uri = sqlite3_mprintf("%s%s?%s", prefix, name, query != NULL ? query : "");
    char *pragmas = sqlite3_str_finish(parsing->pragmas);
    database->pragmas = sqlite3_mprintf("%s", pragmas != NULL ? pragmas : "");
    sqlite3_free(pragmas);

    database->wants_wal &= !database->in_memory && !database->is_read_only;
    database->path = database->in_memory ? NULL : canonical_path(name);
    database->identity = sqlite3_mprintf("%s|%s|%s|%d|%lld",
                                         database->path != NULL ? database->path : name,
                                         query != NULL ? query : "", database->pragmas,
                                         database->wants_wal, database->busy_timeout_ms);
    sqlite3_free(query);
    if (database->uri == NULL || database->pragmas == NULL || database->identity == NULL)
        abort();
}

static bool
read_connection_string(struct parsing *parsing, char *text)
{
    struct database_config *database = &parsing->config->database;
    if (starts_with(text, ":memory:") || starts_with(text, "file::memory:"))
        database->in_memory = true;
    parsing->query = sqlite3_str_new(NULL);
    parsing->pragmas = sqlite3_str_new(NULL);

    bool ok = true;
    char *query = *text != '\0' ? strchr(text + 1, '?') : NULL;
    if (query != NULL) {
        *query++ = '\0';
        char *rest = query;
        for (char *one; ok && (one = strsep(&rest, "&")) != NULL;)
            ok = read_parameter(parsing, one);
    }
    if (ok) {
        finish_database(parsing, text);
        return true;
    }
    sqlite3_free(sqlite3_str_finish(parsing->query));
    sqlite3_free(sqlite3_str_finish(parsing->pragmas));
    return false;
}

static bool
metadata(const struct remora_config *from, const char *name, const char *alias,
         struct remora_slice *ret)
{
    return remora_metadata_get(from->metadata, from->metadata_count, name, ret) ||
           (alias != NULL && remora_metadata_get(from->metadata, from->metadata_count, alias, ret));
}

bool
config_read_duration(const struct remora_config *from, const char *name, const char *alias,
                     int64_t *ret_ms, char *error)
{
    struct remora_slice text;
    if (!metadata(from, name, alias, &text) || text.len == 0)
        return true;
    if (remora_parse_duration_ms(text, ret_ms))
        return true;
    snprintf(error, FAILURE_BYTES_MAX, "invalid value for '%s': not a duration", name);
    return false;
}

static bool
read_identifier(const struct remora_config *from, const char *name, const char *invalid, char *ret,
                char *error)
{
    struct remora_slice text;
    if (!metadata(from, name, NULL, &text))
        return true;
    bool valid = text.len > 0 && text.len <= IDENTIFIER_BYTES_MAX;
    for (size_t i = 0; valid && i < text.len; i++) {
        char c = text.data[i];
        valid = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                c == '_';
    }
    if (!valid) {
        int shown = text.len > IDENTIFIER_BYTES_MAX ? IDENTIFIER_BYTES_MAX : (int)text.len;
        snprintf(error, FAILURE_BYTES_MAX, "%s: %.*s", invalid, shown, text.data);
        return false;
    }
    memcpy(ret, text.data, text.len);
    ret[text.len] = '\0';
    return true;
}

static bool
read_options(struct store_config *config, const struct store_defaults *defaults,
             const struct remora_config *from, char *error)
{
    struct database_config *database = &config->database;
    struct remora_slice text;
    bool disable_wal = false;
    if (!config_read_duration(from, "timeout", "timeoutInSeconds", &config->timeout_ms, error) ||
        !config_read_duration(from, "busyTimeout", NULL, &database->busy_timeout_ms, error) ||
        !config_read_duration(from, "cleanupInterval", "cleanupIntervalInSeconds",
                              &config->cleanup_interval_ms, error))
        return false;
    if (config->timeout_ms < TIMEOUT_MIN_MS) {
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for 'timeout': must be greater than 1s");
        return false;
    }
    if (metadata(from, "disableWAL", NULL, &text) && text.len > 0 &&
        !remora_parse_bool(text, &disable_wal)) {
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for 'disableWAL': not a boolean");
        return false;
    }
    database->wants_wal = !disable_wal;
    if (!read_identifier(from, "tableName", defaults->invalid_table, config->table, error) ||
        !read_identifier(from, "metadataTableName", defaults->invalid_metadata_table,
                         config->metadata_table, error))
        return false;
    bool differ = strcasecmp(config->table, config->metadata_table) != 0;
    if (!differ)
        snprintf(error, FAILURE_BYTES_MAX, "'tableName' and 'metadataTableName' are the same");
    return differ;
}

bool
store_config_init(struct store_config *config, const struct store_defaults *defaults,
                  const struct remora_config *from, char *error)
{
    *config = (struct store_config){
        .metadata_table = "metadata",
        .timeout_ms = defaults->timeout_ms,
        .cleanup_interval_ms = defaults->cleanup_interval_ms,
        .database.busy_timeout_ms = defaults->busy_timeout_ms,
    };
    snprintf(config->table, sizeof(config->table), "%s", defaults->table);
    struct remora_slice text;
    if (!metadata(from, "connectionString", "url", &text) || text.len == 0) {
        snprintf(error, FAILURE_BYTES_MAX, "missing connection string");
        return false;
    }
    if (!read_options(config, defaults, from, error))
        return false;

    char *copy = text.len <= CONNECTION_STRING_BYTES_MAX ? remora_slice_dup(text) : NULL;
    if (copy == NULL) {
        snprintf(error, FAILURE_BYTES_MAX, "invalid connection string");
        return false;
    }
    struct parsing parsing = { .config = config, .error = error };
    bool ok = read_connection_string(&parsing, copy);
    free(copy);
    return ok;
}

static char *
copy_text(const char *text)
{
    char *copy = text != NULL ? sqlite3_mprintf("%s", text) : NULL;
    if (text != NULL && copy == NULL)
        abort();
    return copy;
}

void
database_config_copy(struct database_config *to, const struct database_config *from)
{
    *to = *from;
    to->uri = copy_text(from->uri);
    to->path = from->path != NULL ? strdup(from->path) : NULL;
    if (from->path != NULL && to->path == NULL)
        abort();
    to->identity = copy_text(from->identity);
    to->pragmas = copy_text(from->pragmas);
}

void
database_config_fini(struct database_config *config)
{
    sqlite3_free(config->uri);
    free(config->path);
    sqlite3_free(config->identity);
    sqlite3_free(config->pragmas);
    *config = (struct database_config){ .uri = NULL };
}

void
store_config_fini(struct store_config *config)
{
    database_config_fini(&config->database);
}
