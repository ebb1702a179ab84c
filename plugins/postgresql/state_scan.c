/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries and lists of keys. Their rows come one by one, so that of a result that is too large no
 * more is held than is told of.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../shared/memory.h"
#include "entry.h"
#include "query.h"
#include "store.h"
#include "wire.h"

struct scan {
    struct job job; /* first */
    struct command command;
    remora_call *call;
    struct store *store;
    struct query query;
    const char *values[3];
    int lengths[3];
    char after[8], limit[8];
    int64_t last_row; /* of keys: where the next page begins */
    uint32_t page_size;
    /* What has come, each a result of one row. */
    PGresult **rows;
    size_t count, capacity, bytes;
    bool is_cut;
};

static struct scan *
scan_new(remora_call *call, struct store *store, void (*done)(struct job *, const struct trouble *),
         bool (*on_result)(struct job *, size_t, PGresult *))
{
    struct scan *scan = memory_new(sizeof *scan);
    scan->job = (struct job){ .commands = &scan->command,
                              .count = 1,
                              .call = call,
                              .bytes = REQUEST_BYTES,
                              .is_exclusive = true,
                              .is_row_by_row = true,
                              .on_result = on_result,
                              .done = done };
    scan->call = call;
    scan->store = store;
    return scan;
}

static void
scan_free(struct scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        PQclear(scan->rows[i]);
    free(scan->rows);
    query_fini(&scan->query);
    free(scan);
}

/* The rows that follow are not wanted, and the connection goes with them. */
static void
cut(struct scan *scan)
{
    const struct trouble trouble = { .code = REMORA_RESOURCE_EXHAUSTED,
                                     .why = "the rest of a result is not wanted" };
    scan->is_cut = true;
    pool_abandon(&scan->job, &trouble);
}

static bool
keep_row(struct job *job, size_t command, PGresult *result)
{
    (void)command;
    struct scan *scan = (struct scan *)job;
    if (PQntuples(result) != 1 || scan->is_cut)
        return false;
    if (scan->count == RESULT_ROWS_MAX || scan->bytes >= RESULT_BYTES_MAX) {
        cut(scan);
        return false;
    }
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity == 0 ? 64 : scan->capacity * 2;
        scan->rows = realloc(scan->rows, scan->capacity * sizeof *scan->rows);
        if (scan->rows == NULL)
            abort();
    }
    scan->rows[scan->count++] = result;
    scan->bytes += PQresultMemorySize(result);
    return true;
}

/* --- queries -----------------------------------------------------------------------------------*/

static void
reply_query(struct scan *scan)
{
    char token[24] = "";
    struct remora_state_value *values = remora_call_alloc(scan->call,
                                                          (scan->count + 1) * sizeof *values);
    for (size_t i = 0; i < scan->count; i++) {
        const PGresult *row = scan->rows[i];
        (void)entry_read(scan->call, row, 0, &values[i]); /* tells by itself */
        values[i].key = (struct remora_slice){ PQgetvalue(row, 0, COLUMN_EXTRA),
                                               (size_t)PQgetlength(row, 0, COLUMN_EXTRA) };
    }
    if (scan->query.document.limit > 0 && scan->count > 0)
        snprintf(token, sizeof token, "%" PRId64,
                 scan->query.document.offset + (int64_t)scan->count);
    remora_state_reply_query(scan->call, values, scan->count,
                             (struct remora_slice){ token, strlen(token) });
}

/* A page that does not fit is cut short, its token says where it goes on. Without pages there is no
 * such way to tell. */
static void
on_query_done(struct job *job, const struct trouble *trouble)
{
    struct scan *scan = (struct scan *)job;
    if (trouble != NULL && !scan->is_cut)
        remora_reply_failure(scan->call, store_failure(scan->call, trouble, ""));
    else if (scan->is_cut && scan->query.document.limit < 0)
        remora_reply_error(scan->call, REMORA_RESOURCE_EXHAUSTED,
                           "the query finds more than %d entries or %d bytes: use page.limit",
                           RESULT_ROWS_MAX, RESULT_BYTES_MAX);
    else
        reply_query(scan);
    scan_free(scan);
}

void
state_query(remora_call *call, void *self, struct remora_slice query,
            struct remora_slice key_prefix, const struct remora_pair *metadata,
            size_t metadata_count)
{
    (void)metadata, (void)metadata_count; /* none that this store knows */
    struct store *store = self;
    char why[QUERY_WHY_BYTES];
    if (store->layout.is_v2) {
        remora_reply_error(call, REMORA_UNIMPLEMENTED, "version 2 has no queries");
        return;
    }
    struct scan *scan = scan_new(call, store, on_query_done, keep_row);
    if (!query_init(&scan->query, query, key_prefix, &store->layout, store->tables.state,
                    RESULT_ROWS_MAX + 1, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        scan_free(scan);
        return;
    }
    scan->command = (struct command){ .statement = -1,
                                      .sql = scan->query.sql,
                                      .count = scan->query.count,
                                      .values = (const char *const *)scan->query.values,
                                      .lengths = scan->query.lengths };
    scan->job.bytes += query.len;
    pool_submit(store->pool, &scan->job);
}

/* --- keys --------------------------------------------------------------------------------------*/

static void
reply_keys(struct scan *scan)
{
    size_t count = scan->count;
    bool has_more = scan->is_cut;
    char token[24] = "";
    struct remora_slice *keys = remora_call_alloc(scan->call, (count + 1) * sizeof *keys);
    if (scan->page_size > 0 && count > scan->page_size) {
        count = scan->page_size;
        has_more = true;
    }
    for (size_t i = 0; i < count; i++)
        keys[i] = (struct remora_slice){ PQgetvalue(scan->rows[i], 0, 0),
                                         (size_t)PQgetlength(scan->rows[i], 0, 0) };
    if (has_more && count > 0)
        snprintf(token, sizeof token, "%" PRId64,
                 wire_get_i64(PQgetvalue(scan->rows[count - 1], 0, 1)));
    remora_state_reply_keys(scan->call, keys, count, (struct remora_slice){ token, strlen(token) });
}

static void
on_keys_done(struct job *job, const struct trouble *trouble)
{
    struct scan *scan = (struct scan *)job;
    if (trouble != NULL && !scan->is_cut)
        remora_reply_failure(scan->call, store_failure(scan->call, trouble, ""));
    else
        reply_keys(scan);
    scan_free(scan);
}

/* The token is the number of the last row given, which it keeps when it is saved anew: a listing
 * neither misses nor repeats a key that stays. */
void
state_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                struct remora_slice token)
{
    struct store *store = self;
    int64_t after = 0;
    if (pattern.len == 0 || pattern.len > PATTERN_BYTES_MAX) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "the key pattern is empty or longer than %d bytes", PATTERN_BYTES_MAX);
        return;
    }
    if (token.len > 0 && !remora_parse_i64(token, &after)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "invalid continuation token");
        return;
    }
    struct scan *scan = scan_new(call, store, on_keys_done, keep_row);
    scan->page_size = page_size < RESULT_ROWS_MAX ? page_size : 0;
    wire_put_i64(scan->after, after);
    wire_put_i64(scan->limit, (scan->page_size > 0 ? scan->page_size : RESULT_ROWS_MAX) + 1L);
    const char *values[] = { pattern.data, scan->after, scan->limit };
    const int lengths[] = { (int)pattern.len, 8, 8 };
    memcpy(scan->values, values, sizeof values);
    memcpy(scan->lengths, lengths, sizeof lengths);
    scan->command = (struct command){
        .statement = LAYOUT_KEYS, .count = 3, .values = scan->values, .lengths = scan->lengths
    };
    scan->job.bytes += pattern.len;
    pool_submit(store->pool, &scan->job);
}
