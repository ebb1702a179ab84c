/* SPDX-License-Identifier: Apache-2.0 */
/* Getting one value and many. */
#include "entry.h"
#include "store.h"
#include "wire.h"

struct read {
    struct job job; /* first */
    struct command command;
    remora_call *call;
    struct store *store;
    PGresult *result; /* owned */
    const char *values[1];
    int lengths[1];
    size_t count; /* of keys */
};

static bool
keep_result(struct job *job, size_t command, PGresult *result)
{
    (void)command;
    struct read *read = (struct read *)job;
    PQclear(read->result);
    read->result = result;
    return true;
}

static void
release_result(void *arg)
{
    PQclear(arg);
}

static struct read *
read_new(remora_call *call, struct store *store, enum layout_statement statement,
         void (*done)(struct job *, const struct trouble *))
{
    struct read *read = remora_call_alloc(call, sizeof *read);
    *read = (struct read){ .job = { .commands = &read->command,
                                    .count = 1,
                                    .call = call,
                                    .bytes = REQUEST_BYTES,
                                    .on_result = keep_result,
                                    .done = done },
                           .command = { .statement = (int)statement,
                                        .count = 1,
                                        .values = read->values,
                                        .lengths = read->lengths },
                           .call = call,
                           .store = store };
    return read;
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
on_got(struct job *job, const struct trouble *trouble)
{
    struct read *read = (struct read *)job;
    struct remora_state_value value = { .found = false };
    PGresult *result = read->result; /* the call's memory ends with the reply */
    if (trouble != NULL) {
        remora_reply_failure(read->call, store_failure(read->call, trouble, ""));
    } else if (PQntuples(result) > 0 && !entry_read(read->call, result, 0, &value)) {
        remora_reply_failure(read->call, value.failure);
    } else {
        bool is_lent = value.value.len > VALUE_COPIED_BYTES_MAX &&
                       value.value.data == PQgetvalue(result, 0, COLUMN_VALUE);
        if (is_lent) {
            value.value.release = release_result;
            value.value.arg = result;
        }
        remora_state_reply_value(read->call, &value);
        if (is_lent)
            return;
    }
    PQclear(result);
}

void
state_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    struct read *read = read_new(call, self, LAYOUT_GET, on_got);
    read->values[0] = get->key.len > 0 ? get->key.data : "";
    read->lengths[0] = (int)get->key.len;
    read->job.bytes += get->key.len;
    pool_submit(read->store->pool, &read->job);
}

/* --- many --------------------------------------------------------------------------------------*/

static void
on_got_many(struct job *job, const struct trouble *trouble)
{
    struct read *read = (struct read *)job;
    PGresult *result = read->result;
    if (trouble != NULL) {
        remora_reply_failure(read->call, store_failure(read->call, trouble, ""));
        PQclear(result);
        return;
    }
    struct remora_state_value *values = remora_call_alloc(read->call,
                                                          (read->count + 1) * sizeof *values);
    for (size_t i = 0; i < read->count; i++)
        values[i] = (struct remora_state_value){ .found = false };
    for (int row = 0; row < PQntuples(result); row++) {
        int64_t number = wire_get_i64(PQgetvalue(result, row, COLUMN_EXTRA));
        if (number >= 1 && (uint64_t)number <= read->count)
            (void)entry_read(read->call, result, row, &values[number - 1]); /* tells by itself */
    }
    remora_state_reply_values(read->call, values, read->count);
    PQclear(result);
}

void
state_get_many(remora_call *call, void *self, const struct remora_state_get *gets, size_t count,
               uint32_t parallelism)
{
    (void)parallelism; /* it is one question */
    size_t bytes = WIRE_ARRAY_HEAD_BYTES;
    for (size_t i = 0; i < count; i++)
        bytes += gets[i].key.len + 4;
    if (count == 0) {
        remora_state_reply_values(call, NULL, 0);
        return;
    }
    if (bytes > VALUE_BYTES_MAX) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the keys are too long");
        return;
    }
    struct read *read = read_new(call, self, LAYOUT_GET_MANY, on_got_many);
    char *array = remora_call_alloc(call, bytes), *at = wire_put_array(array, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        at = wire_put_text(at, gets[i].key);
    read->count = count;
    read->values[0] = array;
    read->lengths[0] = (int)(at - array);
    read->job.bytes += bytes;
    pool_submit(read->store->pool, &read->job);
}
