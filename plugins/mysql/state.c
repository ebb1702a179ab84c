/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of the state API, each of which becomes a job of a thread with a connection and is
 * answered when that has finished. Jobs lie in the call's memory, which ends with the reply.
 */
#include <string.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"
#include "../shared/row_reply.h"
#include "keys.h"
#include "rows.h"
#include "store.h"
#include "write.h"

/* What a waiting request weighs besides its value. */
enum { REQUEST_BYTES = 512 };

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
submit(remora_call *call, struct store *store, struct job *job)
{
    job->deadline_ms = monotonic_now_ms() + (uint64_t)store->timeout_ms;
    struct failure *failure = pool_submit(store->pool, job);
    if (failure != NULL)
        reply_and_free(call, failure);
    else
        remora_call_on_cancel(call, on_cancel, job);
}

/* --- reads -------------------------------------------------------------------------------------*/

struct read {
    struct job job; /* first */
    remora_call *call;
    const struct table *table;
    const struct remora_state_get *gets;
    struct row **rows; /* NULL: not found */
    size_t count;
    bool is_single;
};

static void
view_row(const void *arg, struct remora_state_value *value)
{
    const struct row *row = arg;
    value->has_etag = true;
    value->etag = (struct remora_slice){ row->etag, row->etag_len };
    value->expires_unix_ms = row->expires_unix_ms;
    value->failure = row->failure != NULL ? &row->failure->base : NULL;
    value->value = (struct remora_bytes){ .data = row->value, .len = row->value_len };
}

static const struct row_kind row_kind = { .view = view_row, .free = row_free };

static void
run_read(struct job *job, struct session *session)
{
    struct read *read = (struct read *)job;
    job->failure = rows_get(session, read->table, read->gets, read->rows, read->count);
}

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

static void
submit_read(remora_call *call, struct store *store, const struct remora_state_get *gets,
            size_t count, bool is_single)
{
    struct read *read = remora_call_alloc(call, sizeof(*read));
    *read = (struct read){
        .job = { .run = run_read, .finish = finish_read, .bytes = REQUEST_BYTES },
        .call = call,
        .table = &store->table,
        .gets = gets,
        .rows = remora_call_alloc(call, (count + 1) * sizeof(void *)),
        .count = count,
        .is_single = is_single
    };
    for (size_t i = 0; i < count; i++)
        read->job.bytes += gets[i].key.len;
    submit(call, store, &read->job);
}

static void
state_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    submit_read(call, self, get, 1, true);
}

static void
state_get_many(remora_call *call, void *self, const struct remora_state_get *gets, size_t count,
               uint32_t parallelism)
{
    (void)parallelism; /* it is one statement */
    submit_read(call, self, gets, count, false);
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

static struct write_call *
new_write(remora_call *call, const struct store *store, size_t count, bool is_atomic)
{
    struct write_call *write = remora_call_alloc(call, sizeof(*write));
    *write = (struct write_call){
        .write = { .job = { .run = write_run, .finish = finish_write, .bytes = REQUEST_BYTES },
                   .table = &store->table,
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
state_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    struct write_call *write = new_write(call, self, 1, true);
    add_set(write, set);
    submit(call, self, &write->write.job);
}

static void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count)
{
    struct write_call *write = new_write(call, self, count, false);
    for (size_t i = 0; i < count; i++)
        add_set(write, &sets[i]);
    submit(call, self, &write->write.job);
}

static void
state_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    struct write_call *write = new_write(call, self, 1, true);
    add_delete(write, del);
    submit(call, self, &write->write.job);
}

static void
state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                  size_t count)
{
    struct write_call *write = new_write(call, self, count, false);
    for (size_t i = 0; i < count; i++)
        add_delete(write, &dels[i]);
    submit(call, self, &write->write.job);
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
    submit(call, self, &write->write.job);
}

/* --- key listings ------------------------------------------------------------------------------*/

struct list {
    struct job job; /* first */
    remora_call *call;
    const struct table *table;
    struct remora_slice pattern, token;
    uint32_t page_size;
    struct keys keys;
};

static void
run_list(struct job *job, struct session *session)
{
    struct list *list = (struct list *)job;
    job->failure = keys_like(session, list->table, list->pattern, list->page_size, list->token,
                             &list->keys);
    if (job->failure != NULL && job->failure->base.effect == REMORA_EFFECT_UNKNOWN)
        job->failure->base.effect = REMORA_EFFECT_FAILED;
}

static void
finish_list(struct job *job)
{
    struct list *list = (struct list *)job;
    struct keys keys = list->keys; /* outlives the memory of the call */
    struct remora_slice token = { "", 0 };
    if (keys.is_partial && keys.count > 0)
        token = keys.list[keys.count - 1];
    if (job->failure != NULL)
        reply_and_free(list->call, job->failure);
    else
        remora_state_reply_keys(list->call, keys.list, keys.count, token);
    keys_fini(&keys);
}

static void
state_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                struct remora_slice token)
{
    struct store *store = self;
    struct list *list = remora_call_alloc(call, sizeof(*list));
    *list = (struct list){
        .job = { .run = run_list, .finish = finish_list, .bytes = REQUEST_BYTES },
        .call = call,
        .table = &store->table,
        .pattern = pattern,
        .token = token,
        .page_size = page_size
    };
    submit(call, store, &list->job);
}

const struct remora_state_ops state_ops = {
    .get = state_get,
    .get_many = state_get_many,
    .set = state_set,
    .set_many = state_set_many,
    .del = state_delete,
    .delete_many = state_delete_many,
    .transact = state_transact,
    .keys_like = state_keys_like,
};
