/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. */
#include "settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shared/memory.h"
#include "../shared/reader.h"

enum { TIMEOUT_MS = 20000, TIMEOUT_MIN_MS = 1000, CLEANUP_MS = 3600 * 1000, CONNECTIONS_MIN = 4 };

static bool
find(const struct reader *reader, const char *name, const char *alias, struct remora_slice *ret)
{
    return reader_find(reader, name, ret) || (alias != NULL && reader_find(reader, alias, ret));
}

static void
read_duration(struct reader *reader, const char *name, const char *alias, int64_t *value)
{
    struct remora_slice text;
    if (find(reader, name, alias, &text) && !remora_parse_duration_ms(text, value))
        reader_complain(reader, "invalid value for '%s': not a duration", name);
}

/* --- the server --------------------------------------------------------------------------------*/

static void
read_connection_string(struct reader *reader, struct conninfo *conninfo)
{
    struct remora_slice text;
    char why[CONNINFO_WHY_BYTES];
    if (!find(reader, "connectionString", "url", &text))
        return;
    char *copy = text.len <= CONNINFO_BYTES_MAX ? remora_slice_dup(text) : NULL;
    if (copy == NULL)
        reader_complain(reader, "failed to parse connection string: it is too long or holds a NUL");
    else if (!conninfo_parse(conninfo, copy, why))
        reader_complain(reader, "%s", why);
    memory_wipe(copy);
}

/* Fields of their own take the place of what the connection string says. */
static void
read_fields(struct reader *reader, struct conninfo *conninfo)
{
    static const char *const fields[][2] = { { "host", "host" },
                                             { "hostaddr", "hostaddr" },
                                             { "port", "port" },
                                             { "database", "dbname" },
                                             { "user", "user" },
                                             { "password", "password" },
                                             { "sslRootCert", "sslrootcert" } };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct remora_slice text;
        if (!reader_find(reader, fields[i][0], &text))
            continue;
        char *copy = remora_slice_dup(text);
        if (copy == NULL || !conninfo_set(conninfo, fields[i][1], copy))
            reader_complain(reader, "invalid value for '%s'", fields[i][0]);
        memory_wipe(copy);
    }
}

static void
refuse_clouds(struct reader *reader)
{
    static const char *const names[] = { "useAzureAD", "useAWSIAM" };
    for (size_t i = 0; i < 2; i++) {
        struct remora_slice text;
        bool is_wanted = false;
        if (!reader_find(reader, names[i], &text))
            continue;
        if (!remora_parse_bool(text, &is_wanted) || is_wanted)
            reader_complain(reader, "'%s' is not supported: use a connection string", names[i]);
    }
}

/* --- connections -------------------------------------------------------------------------------*/

static void
read_exec_mode(struct reader *reader, struct settings *settings)
{
    static const struct {
        const char *name;
        bool has_session;
    } modes[] = { { "cache_statement", true },
                  { "cache_describe", false },
                  { "describe_exec", false },
                  { "exec", false },
                  { "simple_protocol", false } };
    struct remora_slice text = { settings->conninfo.exec_mode, 0 };
    if (text.data != NULL)
        text.len = strlen(text.data);
    (void)reader_find(reader, "queryExecMode", &text);
    settings->has_session = true;
    if (text.len == 0)
        return;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (remora_slice_eq(text, modes[i].name)) {
            settings->has_session = modes[i].has_session;
            return;
        }
    }
    reader_complain(reader, "invalid queryExecMode metadata value: %.*s",
                    text.len > 64 ? 64 : (int)text.len, text.data);
}

static void
read_connections(struct reader *reader, struct settings *settings)
{
    struct remora_slice text;
    int64_t count = 0;
    if (reader_find(reader, "maxConns", &text) && !remora_parse_i64(text, &count))
        reader_complain(reader, "invalid value for 'maxConns': not a number");
    if (count <= 1) /* so small values mean nothing to the reference */
        count = settings->conninfo.pool_max_conns;
    if (count <= 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        count = processors > CONNECTIONS_MIN ? processors : CONNECTIONS_MIN;
    }
    settings->connections_max = count > CONNECTIONS_MAX ? CONNECTIONS_MAX : (int)count;
    settings->idle_ms = settings->conninfo.pool_idle_ms;
    read_duration(reader, "connectionMaxIdleTime", NULL, &settings->idle_ms);
    if (settings->idle_ms < 0)
        settings->idle_ms = 0;
}

bool
settings_init(struct settings *settings, const struct remora_config *config,
              char ret_why[SETTINGS_WHY_BYTES])
{
    struct reader reader = { .config = config, .why = ret_why, .why_bytes = SETTINGS_WHY_BYTES };
    *settings = (struct settings){ .timeout_ms = TIMEOUT_MS };
    conninfo_init(&settings->conninfo);
    refuse_clouds(&reader);
    read_connection_string(&reader, &settings->conninfo);
    read_fields(&reader, &settings->conninfo);
    if (settings->conninfo.count == 0)
        reader_complain(&reader, "missing connection string");
    read_exec_mode(&reader, settings);
    read_connections(&reader, settings);
    read_duration(&reader, "timeout", "timeoutInSeconds", &settings->timeout_ms);
    if (settings->timeout_ms < TIMEOUT_MIN_MS)
        reader_complain(&reader, "invalid value for 'timeout': must be greater than 1s");
    if (reader.failed)
        settings_fini(settings);
    return !reader.failed;
}

void
settings_fini(struct settings *settings)
{
    conninfo_fini(&settings->conninfo);
}

/* --- tables ------------------------------------------------------------------------------------*/

bool
settings_is_table(const char *name)
{
    int parts = 0;
    for (const char *at = name;; at++) {
        size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$");
        if (len == 0 || len > 63 || (*at >= '0' && *at <= '9') || *at == '$' || ++parts > 2)
            return false;
        at += len;
        if (*at != '.')
            return *at == '\0';
    }
}

static void
read_table(struct reader *reader, const char *name, const char *suffix, char ret[TABLE_BYTES])
{
    struct remora_slice text;
    if (!reader_find(reader, name, &text))
        return;
    char *copy = text.len < TABLE_BYTES ? remora_slice_dup(text) : NULL;
    int len = copy == NULL ? TABLE_BYTES : snprintf(ret, TABLE_BYTES, "%s%s", copy, suffix);
    if (len >= TABLE_BYTES || !settings_is_table(ret))
        reader_complain(reader,
                        "invalid value for '%s': letters, digits and _ only, with a schema "
                        "in front if needed",
                        name);
    free(copy);
}

bool
settings_read_tables(struct table_settings *tables, const struct remora_config *config, bool is_v2,
                     char ret_why[SETTINGS_WHY_BYTES])
{
    struct reader reader = { .config = config, .why = ret_why, .why_bytes = SETTINGS_WHY_BYTES };
    *tables = (struct table_settings){ .cleanup_interval_ms = CLEANUP_MS };
    snprintf(tables->state, TABLE_BYTES, "state");
    snprintf(tables->metadata, TABLE_BYTES, "dapr_metadata");
    read_table(&reader, is_v2 ? "tablePrefix" : "tableName", is_v2 ? "state" : "", tables->state);
    read_table(&reader, "metadataTableName", "", tables->metadata);
    read_duration(&reader, "cleanupInterval", "cleanupIntervalInSeconds",
                  &tables->cleanup_interval_ms);
    if (tables->cleanup_interval_ms < 0)
        tables->cleanup_interval_ms = 0;
    /* Of the second version these are told apart by what is in front of `state`. */
    int prefix = is_v2 ? (int)(strlen(tables->state) - strlen("state")) : 0;
    snprintf(tables->level_key, sizeof tables->level_key, "%s%.*s",
             is_v2 ? "migrations-state-v2-" : "migrations", prefix, tables->state);
    snprintf(tables->cleanup_key, sizeof tables->cleanup_key, "%s%.*s",
             is_v2 ? "last-cleanup-state-v2-" : "last-cleanup", prefix, tables->state);
    return !reader.failed;
}
