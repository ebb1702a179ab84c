/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads of many rows: queries, key listings, and the search for expired rows. Each result is
 * bounded by RESULT_ROWS_MAX and RESULT_BYTES_MAX.
 */
#ifndef SQLITE_PLUGIN_SCAN_H
#define SQLITE_PLUGIN_SCAN_H

#include "row.h"

struct rows {
    struct row *first, **tail;
    size_t count, bytes;
    char *token; /* owned, malloc(); NULL: none */
};

void rows_init(struct rows *rows);
void rows_fini(struct rows *rows);

struct failure *
scan_query(struct connection *connection, const char *table, struct remora_slice document,
           struct remora_slice prefix, struct rows *rows);

/* Keys in their order, only the keys of the rows filled in. The token is the last key given: a
 * listing neither misses nor repeats a key that stays, whatever else is written meanwhile. */
struct failure *
scan_keys(struct connection *connection, const char *table, struct remora_slice pattern,
          uint32_t page_size, struct remora_slice token, struct rows *rows);

/* Notes under `key` in the metadata table that a cleanup begins. *ret_is_due is false if one began
 * less than an interval ago, in whatever process. */
struct failure *scan_begin_cleanup(struct connection *connection, const char *metadata_table,
                                   const char *key, int64_t interval_ms, bool *ret_is_due);

/* Finds up to CLEANUP_BATCH_ROWS expired rows behind *rowid, which moves on. */
struct failure *scan_expired(struct connection *connection, const char *table, int64_t *rowid,
                             int64_t *ret_rowids, size_t *ret_count);

/* Deletes those of the rows that are expired still, in one transaction. */
struct failure *scan_delete_expired(struct connection *connection, const char *table,
                                    const int64_t *rowids, size_t count);

#endif
