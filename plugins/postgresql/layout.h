/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of state stores as the reference has them, and the statements that use them. Version 1
 * keeps values as jsonb (bytes as a text in base64) and takes the row's xmin for the ETag, version
 * 2 keeps bytes and has a UUID for each write.
 */
#ifndef POSTGRESQL_LAYOUT_H
#define POSTGRESQL_LAYOUT_H

#include "settings.h"

/* Statements, with their parameters. Those that end in _OR_FAIL raise an error, which rolls the
 * transaction back, where their condition does not hold; without it they change no row. */
enum layout_statement {
    LAYOUT_GET,            /* key */
    LAYOUT_GET_MANY,       /* array of keys */
    LAYOUT_SET,            /* key, value, time to live, is binary (version 1) */
    LAYOUT_SET_IF_ABSENT,  /* the same */
    LAYOUT_SET_IF_ETAG,    /* key, value, time to live, ETag, is binary (version 1) */
    LAYOUT_DELETE,         /* key */
    LAYOUT_DELETE_IF_ETAG, /* key, ETag */
    LAYOUT_SET_IF_ABSENT_OR_FAIL,
    LAYOUT_SET_IF_ETAG_OR_FAIL,
    LAYOUT_DELETE_IF_ETAG_OR_FAIL,
    LAYOUT_KEYS,          /* pattern, row behind which it begins, rows at most */
    LAYOUT_BEGIN_CLEANUP, /* key in the metadata, milliseconds that must have passed */
    LAYOUT_CLEAN,         /* rows at most */
    LAYOUT_STATEMENTS
};

/* What that error is: a division by zero. */
#define LAYOUT_FAILED_STATE "22012"

/* Columns of LAYOUT_GET, LAYOUT_GET_MANY and queries. */
enum { COLUMN_VALUE, COLUMN_BINARY, COLUMN_ETAG, COLUMN_EXPIRES, COLUMN_EXTRA };

enum { LAYOUT_STEPS_MAX = 3 };

struct layout {
    bool is_v2;
    char *statements[LAYOUT_STATEMENTS]; /* owned */
    char *steps[LAYOUT_STEPS_MAX];       /* from level n to level n + 1 */
    int step_count;
    char *read_level;      /* parameter: its key */
    char *create_metadata; /* and what is locked while tables are made */
    char *columns;         /* of a query, `s` being the table */
    char *is_valid;        /* the condition of a row `s` that has not expired */
};

void layout_init(struct layout *layout, const struct table_settings *tables, bool is_v2);
void layout_fini(struct layout *layout);

/* What brings tables from a level to the newest, as one transaction; from malloc(). It fails with
 * LAYOUT_FAILED_STATE if they are at another level by then. */
char *layout_script(const struct layout *layout, const struct table_settings *tables, int level);

#endif
