/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of the state API. A point read is done here and now; everything else becomes a job
 * of a database thread and is answered when that has finished.
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"
#include "../shared/row_reply.h"
#include "scan.h"
#include "store.h"

/* What a waiting request weighs besides its value. */
enum { REQUEST_BYTES = 512 };

static uint64_t
deadline_of(const struct store *store)
{
    return monotonic_now_ms() + (uint64_t)store->config.timeout_ms;
}

/* Until its reply; the job lies in the call's memory. */
static void
on_cancel(remora_call *call, void *arg)
{
    (void)call;
    struct job *job = arg;
    atomic_store(&job->is_cancelled, true);
}

static void
reply_and_free(remora_call *call, struct failure *failure)
{
    remora_reply_failure(call, &failure->base);
    failure_free(failure);
}

static void
submit(remora_call *call, struct worker *worker, struct job *job)
{
    struct failure *failure = worker_submit(worker, job);
    if (failure != NULL)
        reply_and_free(call, failure);
    else
        remora_call_on_cancel(call, on_cancel, job);
}

static void
view_row(const void *arg, struct remora_state_value *value)
{
    const struct row *row = arg;
    value->key = (struct remora_slice){ row->key, row->key_len };
    value->has_etag = true;
    value->etag = (struct remora_slice){ row->etag, row->etag_len };
    value->expires_unix_ms = row->expires_unix_ms;
    value->failure = row->failure != NULL ? &row->failure->base : NULL;
    value->value = (struct remora_bytes){ .data = row->value, .len = row->value_len };
}

static const struct row_kind row_kind = { .view = view_row, .free = row_free };

/* --- reads of single keys ----------------------------------------------------------------------*/

struct read {
    struct job job; /* first */
    remora_call *call;
    struct store *store;
    const struct remora_state_get *gets;
    struct row **rows; /* NULL: not found */
    size_t count;
    bool is_single;
};

static void
finish_read(struct job *job)
{
    struct read *read = (struct read *)job;
    if (job->failure != NULL)
        reply_and_free(read->call, job->failure);
    else if (read->is_single)
        row_reply(read->call, &row_kind, read->rows[0]);
    else
        row_reply_many(read->call, &row_kind, (void **)read->rows, read->count);
}

/* False if a lock was in the way of one; then none is there. */
static bool
read_rows(struct connection *connection, const char *table, const struct remora_state_get *gets,
          struct row **rows, size_t count)
{
    bool is_free = true;
    for (size_t i = 0; i < count; i++) {
        rows[i] = NULL;
        struct failure *failure = row_get(connection, table, gets[i].key, &rows[i]);
        is_free &= !failure_is_lock(failure);
        if (failure != NULL)
            rows[i] = row_from_failure(failure);
    }
    for (size_t i = 0; i < count && !is_free; i++)
        row_free(rows[i]);
    return is_free;
}

static void
run_read(struct job *job, struct connection *connection)
{
    struct read *read = (struct read *)job;
    job->failure = connection_check_file(connection);
    if (job->failure == NULL &&
        !read_rows(connection, read->store->config.table, read->gets, read->rows, read->count))
        job->failure = failure_from_sqlite(NULL, SQLITE_BUSY, STAGE_STATEMENT, NULL);
}

static void
submit_read(remora_call *call, struct store *store, const struct remora_state_get *gets,
            size_t count, bool is_single)
{
    struct read *read = remora_call_alloc(call, sizeof(*read));
    *read = (struct read){ .job = { .run = run_read,
                                    .finish = finish_read,
                                    .bytes = REQUEST_BYTES,
                                    .deadline_ms = deadline_of(store) },
                           .call = call,
                           .store = store,
                           .gets = gets,
                           .rows = remora_call_alloc(call, (count + 1) * sizeof(void *)),
                           .count = count,
                           .is_single = is_single };
    submit(call, database_reads(store->database), &read->job);
}

static void
state_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    struct store *store = self;
    struct connection *reader = database_reader(store->database);
    struct row *row = NULL;
    struct failure *failure = reader != NULL ? row_get(reader, store->config.table, get->key, &row)
                                             : NULL;
    if (reader == NULL || failure_is_lock(failure)) {
        failure_free(failure);
        submit_read(call, store, get, 1, true);
    } else if (failure != NULL) {
        reply_and_free(call, failure);
    } else {
        row_reply(call, &row_kind, row);
    }
}

static void
state_get_many(remora_call *call, void *self, const struct remora_state_get *gets, size_t count,
               uint32_t parallelism)
{
    (void)parallelism; /* one connection reads faster than several */
    struct store *store = self;
    struct connection *reader = database_reader(store->database);
    struct row **rows = remora_call_alloc(call, (GETS_INLINE_MAX + 1) * sizeof(void *));
    if (reader != NULL && count <= GETS_INLINE_MAX &&
        read_rows(reader, store->config.table, gets, rows, count))
        row_reply_many(call, &row_kind, (void **)rows, count);
    else
        submit_read(call, store, gets, count, false);
}

/* --- writes ------------------------------------------------------------------------------------*/

struct write_call {
    struct write write; /* first */
    remora_call *call;
};

static void
reply_failures(remora_call *call, struct operation *operations, size_t count)
{
    const struct remora_failure **failures = remora_call_alloc(call, (count + 1) * sizeof(void *));
    /* The operations lie in the call's memory, which ends with the reply. */
    struct failure **owned = memory_new((count + 1) * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        owned[i] = operations[i].failure;
        failures[i] = owned[i] != NULL ? &owned[i]->base : NULL;
    }
    remora_state_reply_failures(call, failures, count);
    for (size_t i = 0; i < count; i++)
        failure_free(owned[i]);
    free(owned);
}

static void
finish_write(struct job *job)
{
    struct write_call *write = (struct write_call *)job;
    if (job->failure != NULL)
        reply_and_free(write->call, job->failure);
    else if (write->write.is_atomic)
        remora_reply_ok(write->call);
    else
        reply_failures(write->call, write->write.operations, write->write.count);
}

/* Everything lies in the call's memory until its reply. */
static struct write_call *
new_write(remora_call *call, const struct store *store, size_t count, bool is_atomic)
{
    struct write_call *write = remora_call_alloc(call, sizeof(*write));
    *write = (struct write_call){
        .write = { .job = { .finish = finish_write,
                            .bytes = REQUEST_BYTES,
                            .deadline_ms = deadline_of(store) },
                   .table = store->config.table,
                   .operations = remora_call_alloc(call, (count + 1) * sizeof(struct operation)),
                   .is_atomic = is_atomic },
        .call = call,
    };
    return write;
}

static void
add_set(struct write_call *write, const struct remora_state_set *set)
{
    struct operation *operation = &write->write.operations[write->write.count++];
    *operation = (struct operation){ .set = set };
    remora_uuid(operation->etag);
    write->write.job.bytes += set->value.len + set->key.len + sizeof(*operation);
}

static void
add_delete(struct write_call *write, const struct remora_state_delete *del)
{
    struct operation *operation = &write->write.operations[write->write.count++];
    *operation = (struct operation){ .del = del };
    write->write.job.bytes += del->key.len + sizeof(*operation);
}

static void
submit_write(struct store *store, struct write_call *write)
{
    submit(write->call, &store->database->writer, &write->write.job);
}

static void
state_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    struct write_call *write = new_write(call, self, 1, true);
    add_set(write, set);
    submit_write(self, write);
}

static void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count)
{
    struct write_call *write = new_write(call, self, count, false);
    for (size_t i = 0; i < count; i++)
        add_set(write, &sets[i]);
    submit_write(self, write);
}

static void
state_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    struct write_call *write = new_write(call, self, 1, true);
    add_delete(write, del);
    submit_write(self, write);
}

static void
state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                  size_t count)
{
    struct write_call *write = new_write(call, self, count, false);
    for (size_t i = 0; i < count; i++)
        add_delete(write, &dels[i]);
    submit_write(self, write);
}

static void
state_transact(remora_call *call, void *self, const struct remora_state_operation *operations,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata, (void)metadata_count; /* none that this store knows */
    struct write_call *write = new_write(call, self, count, true);
    for (size_t i = 0; i < count; i++) {
        if (operations[i].is_delete)
            add_delete(write, &operations[i].del);
        else
            add_set(write, &operations[i].set);
    }
    submit_write(self, write);
}

/* --- queries and key listings ------------------------------------------------------------------*/

struct scan {
    struct job job; /* first */
    remora_call *call;
    struct store *store;
    struct remora_slice text, prefix, token; /* query and key prefix, or pattern and token */
    uint32_t page_size;
    struct rows rows;
};

static struct remora_slice
token_of(const struct rows *rows)
{
    return (struct remora_slice){ rows->token, rows->token != NULL ? strlen(rows->token) : 0 };
}

static void
run_query(struct job *job, struct connection *connection)
{
    struct scan *scan = (struct scan *)job;
    connection_limit(connection, job->deadline_ms, &job->is_cancelled);
    job->failure = scan_query(connection, scan->store->config.table, scan->text, scan->prefix,
                              &scan->rows);
    connection_limit(connection, 0, NULL);
}

static void
run_keys(struct job *job, struct connection *connection)
{
    struct scan *scan = (struct scan *)job;
    connection_limit(connection, job->deadline_ms, &job->is_cancelled);
    job->failure = scan_keys(connection, scan->store->config.table, scan->text, scan->page_size,
                             scan->token, &scan->rows);
    connection_limit(connection, 0, NULL);
}

static void
finish_query(struct job *job)
{
    struct scan *scan = (struct scan *)job;
    struct rows rows = scan->rows; /* outlives the memory of the call */
    if (job->failure != NULL) {
        reply_and_free(scan->call, job->failure);
        rows_fini(&rows);
        return;
    }
    void **found = memory_new((rows.count + 1) * sizeof(*found));
    size_t count = 0;
    for (struct row *row = rows.first; row != NULL; row = row->next)
        found[count++] = row;
    rows.first = NULL; /* they are taken */
    row_reply_query(scan->call, &row_kind, found, count, token_of(&rows));
    free(found);
    rows_fini(&rows);
}

static void
finish_keys(struct job *job)
{
    struct scan *scan = (struct scan *)job;
    struct rows rows = scan->rows;
    if (job->failure != NULL) {
        reply_and_free(scan->call, job->failure);
    } else {
        struct remora_slice *keys = remora_call_alloc(scan->call, (rows.count + 1) * sizeof(*keys));
        size_t count = 0;
        for (struct row *row = rows.first; row != NULL; row = row->next)
            keys[count++] = (struct remora_slice){ row->key, row->key_len };
        remora_state_reply_keys(scan->call, keys, count, token_of(&rows));
    }
    rows_fini(&rows);
}

static struct scan *
new_scan(remora_call *call, struct store *store)
{
    struct scan *scan = remora_call_alloc(call, sizeof(*scan));
    *scan = (struct scan){
        .job = { .bytes = REQUEST_BYTES, .deadline_ms = deadline_of(store) },
        .call = call,
        .store = store,
    };
    rows_init(&scan->rows);
    return scan;
}

static void
submit_scan(struct scan *scan)
{
    submit(scan->call, database_reads(scan->store->database), &scan->job);
}

static void
state_query(remora_call *call, void *self, struct remora_slice query,
            struct remora_slice key_prefix, const struct remora_pair *metadata,
            size_t metadata_count)
{
    (void)metadata, (void)metadata_count; /* none that this store knows */
    struct scan *scan = new_scan(call, self);
    scan->job.run = run_query;
    scan->job.finish = finish_query;
    scan->text = query;
    scan->prefix = key_prefix;
    submit_scan(scan);
}

static void
state_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                struct remora_slice token)
{
    struct scan *scan = new_scan(call, self);
    scan->job.run = run_keys;
    scan->job.finish = finish_keys;
    scan->text = pattern;
    scan->page_size = page_size;
    scan->token = token;
    submit_scan(scan);
}

const struct remora_state_ops state_ops = {
    .get = state_get,
    .get_many = state_get_many,
    .set = state_set,
    .set_many = state_set_many,
    .del = state_delete,
    .delete_many = state_delete_many,
    .transact = state_transact,
    .query = state_query,
    .keys_like = state_keys_like,
};
