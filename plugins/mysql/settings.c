/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of fields in any case; an empty value is none. The connection string holds a password as a
 * rule and is never shown.
 */
#include "settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../shared/memory.h"
#include "../shared/reader.h"

enum { TIMEOUT_DEFAULT_S = 20, CLEANUP_DEFAULT_MS = 3600 * 1000 };

static void
read_identifier(struct reader *reader, const char *name, const char *what, char *ret)
{
    struct remora_slice text;
    if (!reader_find(reader, name, &text))
        return;
    bool is_valid = text.len <= IDENTIFIER_BYTES_MAX;
    for (size_t i = 0; is_valid && i < text.len; i++) {
        char c = text.data[i];
        is_valid = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   c == '_';
    }
    if (!is_valid) {
        int shown = text.len > IDENTIFIER_BYTES_MAX ? IDENTIFIER_BYTES_MAX : (int)text.len;
        reader_complain(reader, "%s '%.*s' is not valid", what, shown, text.data);
        return;
    }
    memcpy(ret, text.data, text.len);
    ret[text.len] = '\0';
}

static void
read_timeout(struct reader *reader, int64_t *ret_ms)
{
    struct remora_slice text;
    int64_t seconds = TIMEOUT_DEFAULT_S;
    if (reader_find(reader, "timeoutInSeconds", &text) && !remora_parse_i64(text, &seconds))
        reader_complain(reader, "invalid value for 'timeoutInSeconds': not a number");
    if (seconds > TIMEOUT_S_MAX)
        reader_complain(reader, "invalid value for 'timeoutInSeconds': more than a day");
    *ret_ms = (seconds > 0 ? seconds : TIMEOUT_DEFAULT_S) * 1000;
}

static void
read_cleanup(struct reader *reader, int64_t *ret_ms)
{
    static const char *const names[] = { "cleanupInterval", "cleanupIntervalInSeconds" };
    struct remora_slice text;
    *ret_ms = CLEANUP_DEFAULT_MS;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (reader_find(reader, names[i], &text) && !remora_parse_duration_ms(text, ret_ms))
            reader_complain(reader, "invalid value for '%s': not a duration", names[i]);
}

static void
read_server(struct reader *reader, struct settings *settings)
{
    struct server *server = &settings->server;
    struct dsn *dsn = &server->dsn;
    char why[DSN_WHY_BYTES];
    struct remora_slice text;
    if (!reader_find(reader, "connectionString", &text)) {
        reader_complain(reader, "missing connection string");
    } else if (text.len > CONNECTION_STRING_BYTES_MAX) {
        reader_complain(reader, "invalid connection string: longer than %d bytes",
                        CONNECTION_STRING_BYTES_MAX);
    } else if (!dsn_read(dsn, text, why)) {
        reader_complain(reader, "%s", why);
    }
    if (reader_find(reader, "pemPath", &text))
        server->pem_path = memory_slice(text);
    if (reader->failed)
        return;
    if (dsn->tls == DSN_CUSTOM && server->pem_path == NULL)
        reader_complain(reader, "invalid connection string: tls=custom needs 'pemPath'");
    if (dsn->path != NULL)
        (void)snprintf(server->address, sizeof server->address, "%s", dsn->path);
    else
        (void)snprintf(server->address, sizeof server->address, "%s:%u", dsn->host, dsn->port);
    if (dsn->ignored != NULL)
        (void)snprintf(settings->warning, sizeof settings->warning,
                       "the connection string's '%.60s' has no effect", dsn->ignored);
    if (server->pem_path != NULL && dsn->tls != DSN_CUSTOM && dsn->tls != DSN_TLS)
        (void)snprintf(settings->warning, sizeof settings->warning,
                       "'pemPath' has no effect without tls=custom in the connection string");
    if (dsn->database[0] != '\0' && strcmp(dsn->database, server->schema) != 0)
        (void)snprintf(settings->warning, sizeof settings->warning,
                       "the database in the connection string has no effect: it is '%s'",
                       server->schema);
}

bool
settings_init(struct settings *settings, const struct remora_config *from,
              char why[FAILURE_BYTES_MAX])
{
    *settings = (struct settings){ .table = "state",
                                   .metadata_table = "dapr_metadata",
                                   .server.schema = "dapr_state_store" };
    struct reader reader = { .config = from, .why = why, .why_bytes = FAILURE_BYTES_MAX };
    read_identifier(&reader, "tableName", "table name", settings->table);
    read_identifier(&reader, "metadataTableName", "metadata table name", settings->metadata_table);
    read_identifier(&reader, "schemaName", "schema name", settings->server.schema);
    if (strcasecmp(settings->table, settings->metadata_table) == 0)
        reader_complain(&reader, "'tableName' and 'metadataTableName' are the same");
    read_timeout(&reader, &settings->server.timeout_ms);
    read_cleanup(&reader, &settings->cleanup_interval_ms);
    read_server(&reader, settings);
    if (reader.failed)
        settings_fini(settings);
    return !reader.failed;
}

void
settings_fini(struct settings *settings)
{
    server_fini(&settings->server);
}

static bool
is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
server_is_same(const struct server *a, const struct server *b)
{
    const struct dsn *x = &a->dsn, *y = &b->dsn;
    return is_same_text(x->user, y->user) && is_same_text(x->password, y->password) &&
           is_same_text(x->host, y->host) && is_same_text(x->path, y->path) && x->port == y->port &&
           x->tls == y->tls && x->no_native_password == y->no_native_password &&
           x->cleartext_password == y->cleartext_password &&
           is_same_text(a->pem_path, b->pem_path) && strcmp(a->schema, b->schema) == 0 &&
           a->timeout_ms == b->timeout_ms;
}

struct server
server_take(struct server *from)
{
    struct server taken = *from;
    from->dsn = (struct dsn){ .tls = DSN_PLAIN };
    from->pem_path = NULL;
    return taken;
}

void
server_fini(struct server *server)
{
    dsn_fini(&server->dsn);
    free(server->pem_path);
    server->pem_path = NULL;
}
