/* SPDX-License-Identifier: Apache-2.0 */
/* See layout.h. Names of tables have been checked and need no quotes. */
#include "layout.h"

#include "../shared/memory.h"

/* What differs between the versions. */
struct words {
    const char *value, *binary, *etag, *expires, *updated; /* columns as read; names of two */
    const char *columns, *values, *changes;                /* of a save */
    const char *etag_column, *etag_type;
};

static const struct words words_v1 = {
    .value = "s.value::text",
    .binary = "s.isbinary",
    .etag = "s.xmin::text",
    .expires = "expiredate",
    .updated = "updatedate",
    .columns = "key, value, isbinary, expiredate",
    .values = "$1::text, $2::text::jsonb, $4::boolean, now() + $3::bigint * interval '1 second'",
    .changes = "value = excluded.value, isbinary = excluded.isbinary",
    .etag_column = "xmin",
    .etag_type = "xid",
};

static const struct words words_v2 = {
    .value = "s.value",
    .binary = "false",
    .etag = "s.etag::text",
    .expires = "expires_at",
    .updated = "updated_at",
    .columns = "key, value, etag, expires_at",
    .values = "$1::text, $2::bytea, gen_random_uuid(), now() + $3::bigint * interval '1 second'",
    .changes = "value = excluded.value, etag = excluded.etag",
    .etag_column = "etag",
    .etag_type = "uuid",
};

/* That of tables that are not there is none: another component, with other names, has noted it. */
#define LEVEL "CASE WHEN to_regclass('%s') IS NULL THEN '0' ELSE value END"

static char *
or_fail(const char *statement)
{
    return memory_printf("WITH changed AS (%s RETURNING 1) SELECT 1 / count(*) FROM changed",
                         statement);
}

static void
init_reads(struct layout *layout, const char *table, const struct words *words)
{
    const char *e = words->expires;
    layout->is_valid = memory_printf("(s.%s IS NULL OR s.%s >= now())", e, e);
    layout->columns = memory_printf("%s, %s, %s, floor(extract(epoch FROM s.%s) * 1000)::bigint",
                                    words->value, words->binary, words->etag, e);
    layout->statements[LAYOUT_GET] = memory_printf("SELECT %s FROM %s AS s WHERE s.key = $1::text"
                                                   " AND %s",
                                                   layout->columns, table, layout->is_valid);
    layout->statements[LAYOUT_GET_MANY] = memory_printf(
        "SELECT %s, w.n FROM unnest($1::text[]) WITH ORDINALITY AS w(key, n)"
        " JOIN %s AS s ON s.key = w.key WHERE %s",
        layout->columns, table, layout->is_valid);
    layout->statements[LAYOUT_KEYS] = memory_printf(
        "SELECT s.key, s.row_id FROM %s AS s WHERE s.key LIKE $1::text"
        " AND s.row_id > $2::bigint AND %s ORDER BY s.row_id LIMIT $3::bigint",
        table, layout->is_valid);
}

static void
init_writes(struct layout *layout, const char *table, const struct words *words)
{
    const char *e = words->expires;
    char *set = memory_printf("INSERT INTO %s AS s (%s) VALUES (%s) ON CONFLICT (key)"
                              " DO UPDATE SET %s, %s = now(), %s = excluded.%s",
                              table, words->columns, words->values, words->changes, words->updated,
                              e, e);
    layout->statements[LAYOUT_SET] = set;
    layout->statements[LAYOUT_SET_IF_ABSENT] = memory_printf(
        "%s WHERE s.%s IS NOT NULL AND s.%s < now()", set, e, e);
    layout->statements[LAYOUT_SET_IF_ETAG] = memory_printf(
        "UPDATE %s AS s SET value = $2::%s, %s, %s = now(),"
        " %s = now() + $3::bigint * interval '1 second'"
        " WHERE s.key = $1::text AND s.%s = $4::text::%s AND %s",
        table, layout->is_v2 ? "bytea" : "text::jsonb",
        layout->is_v2 ? "etag = gen_random_uuid()" : "isbinary = $5::boolean", words->updated, e,
        words->etag_column, words->etag_type, layout->is_valid);
    layout->statements[LAYOUT_DELETE] = memory_printf("DELETE FROM %s AS s WHERE s.key = $1::text",
                                                      table);
    layout->statements[LAYOUT_DELETE_IF_ETAG] = memory_printf("%s AND s.%s = $2::text::%s",
                                                              layout->statements[LAYOUT_DELETE],
                                                              words->etag_column, words->etag_type);
    for (int i = 0; i < 3; i++) {
        static const enum layout_statement from[] = { LAYOUT_SET_IF_ABSENT, LAYOUT_SET_IF_ETAG,
                                                      LAYOUT_DELETE_IF_ETAG };
        layout->statements[LAYOUT_SET_IF_ABSENT_OR_FAIL + i] = or_fail(layout->statements[from[i]]);
    }
}

/* Rows that have been saved anew meanwhile are looked at again by the server and stay. */
static void
init_cleanup(struct layout *layout, const struct table_settings *tables, const struct words *words)
{
    layout->statements[LAYOUT_BEGIN_CLEANUP] = memory_printf(
        "INSERT INTO %s AS m (key, value) VALUES ($1::text, now()::text) ON CONFLICT (key)"
        " DO UPDATE SET value = now()::text"
        " WHERE (extract(epoch FROM now() - m.value::timestamptz) * 1000)::bigint > $2::bigint",
        tables->metadata);
    layout->statements[LAYOUT_CLEAN] = memory_printf(
        "DELETE FROM %s AS s WHERE s.%s < now() AND s.ctid = ANY(ARRAY(SELECT ctid FROM %s"
        " WHERE %s < now() LIMIT $1::bigint))",
        tables->state, words->expires, tables->state, words->expires);
}

/* Indexes lie in the schema of their table and are named without it. */
static char *
add_row_ids(const char *table)
{
    const char *dot = strrchr(table, '.');
    return memory_printf("ALTER TABLE %s ADD COLUMN row_id bigint GENERATED BY DEFAULT AS IDENTITY;"
                         " CREATE UNIQUE INDEX %s_row_id_uidx ON %s (row_id)",
                         table, dot == NULL ? table : dot + 1, table);
}

static void
init_steps(struct layout *layout, const char *table)
{
    if (layout->is_v2) {
        layout->steps[0] = memory_printf(
            "CREATE TABLE IF NOT EXISTS %s (key text NOT NULL PRIMARY KEY, value bytea NOT NULL,"
            " etag uuid NOT NULL DEFAULT gen_random_uuid(),"
            " created_at timestamp with time zone NOT NULL DEFAULT now(),"
            " updated_at timestamp with time zone, expires_at timestamp with time zone);"
            " CREATE INDEX ON %s (expires_at)",
            table, table);
        layout->steps[1] = add_row_ids(table);
        layout->step_count = 2;
        return;
    }
    layout->steps[0] = memory_printf(
        "CREATE TABLE IF NOT EXISTS %s (key text NOT NULL PRIMARY KEY, value jsonb NOT NULL,"
        " isbinary boolean NOT NULL, insertdate timestamp with time zone NOT NULL DEFAULT now(),"
        " updatedate timestamp with time zone)",
        table);
    layout->steps[1] = memory_printf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS"
                                     " expiredate timestamp with time zone",
                                     table);
    layout->steps[2] = add_row_ids(table);
    layout->step_count = 3;
}

char *
layout_script(const struct layout *layout, const struct table_settings *tables, int level)
{
    const char *metadata = tables->metadata, *key = tables->level_key;
    char *script = memory_printf("SELECT value FROM %s WHERE key = 'lock' FOR UPDATE;"
                                 " SELECT 1 / count(*) FROM (SELECT 1 WHERE"
                                 " coalesce((SELECT " LEVEL
                                 " FROM %s WHERE key = '%s'), '0') = '%d') AS is_at_level;",
                                 metadata, tables->state, metadata, key, level);
    for (int i = level; i < layout->step_count; i++) {
        char *longer = memory_printf("%s %s;", script, layout->steps[i]);
        free(script);
        script = longer;
    }
    char *whole = memory_printf("%s INSERT INTO %s (key, value) VALUES ('%s', '%d')"
                                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                                script, metadata, key, layout->step_count);
    free(script);
    return whole;
}

void
layout_init(struct layout *layout, const struct table_settings *tables, bool is_v2)
{
    const struct words *words = is_v2 ? &words_v2 : &words_v1;
    *layout = (struct layout){ .is_v2 = is_v2 };
    init_reads(layout, tables->state, words);
    init_writes(layout, tables->state, words);
    init_cleanup(layout, tables, words);
    init_steps(layout, tables->state);
    layout->read_level = memory_printf("SELECT " LEVEL " FROM %s WHERE key = $1::text",
                                       tables->state, tables->metadata);
    layout->create_metadata = memory_printf(
        "CREATE TABLE IF NOT EXISTS %s (key text NOT NULL PRIMARY KEY, value text NOT NULL);"
        " INSERT INTO %s (key, value) VALUES ('lock', 'lock') ON CONFLICT (key) DO NOTHING",
        tables->metadata, tables->metadata);
}

void
layout_fini(struct layout *layout)
{
    for (int i = 0; i < LAYOUT_STATEMENTS; i++)
        free(layout->statements[i]);
    for (int i = 0; i < layout->step_count; i++)
        free(layout->steps[i]);
    free(layout->read_level);
    free(layout->create_metadata);
    free(layout->columns);
    free(layout->is_valid);
    *layout = (struct layout){ .step_count = 0 };
}
