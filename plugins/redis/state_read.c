/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one value and many. A value is a hash, or, written by others, a plain string. Many values
 * are asked for in one stream of commands, a window at a time, so that one call cannot fill the
 * connection's queue.
 */
#include "store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 256,               /* commands of one bulk call under way */
    BULK_BYTES_MAX = 256 << 20, /* values of one bulk answer, all in memory at once */
};

/* One key being read. */
struct read {
    struct store *store;
    remora_call *call;
    struct remora_slice key;
    void (*finish)(struct read *read, const struct remora_state_value *value);
    struct bulk *bulk; /* or NULL */
};

static void on_string(const struct conn_result *result, void *arg);

static void
read_failed(struct read *read, const struct remora_failure *failure)
{
    read->finish(read, &(struct remora_state_value){ .failure = failure });
}

static void
read_command(struct read *read, const struct remora_slice *args, size_t count, conn_done *done)
{
    struct link *link = read->store->link;
    if (!link_command(link, LINK_MAIN, link_slot(link, read->key), args, count,
                      store_wait_ms(read->call), done, read))
        read_failed(read, failure_busy(read->call));
}

static void on_read_script(const struct conn_result *result, void *arg);

/* `how` is EVALSHA with the script's SHA1, or EVAL with its text. */
static void
read_send_script(struct read *read, const char *how, const char *script)
{
    struct remora_slice args[4] = {
        { how, strlen(how) }, { script, strlen(script) }, { "1", 1 }, read->key
    };
    read_command(read, args, 4, on_read_script);
}

static void
read_send(struct read *read, const char *command, conn_done *done)
{
    struct remora_slice args[2] = { { command, strlen(command) }, read->key };
    read_command(read, args, 2, done);
}

static bool
is_text(const struct resp_value *value)
{
    return value->type == RESP_STRING || value->type == RESP_STATUS;
}

static bool
is_field(const struct resp_value *value, const char *name)
{
    return is_text(value) && remora_slice_eq(value->text, name);
}

static void
finish_found(struct read *read, const struct resp_value *data, const struct resp_value *version)
{
    if (data == NULL || version == NULL) {
        read_failed(read, failure_new(read->call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                                      "required hash field 'data' or 'version' was not found"));
        return;
    }
    read->finish(read, &(struct remora_state_value){
                           .found = true,
                           .has_etag = true,
                           .etag = version->text,
                           .value = { .data = data->text.data, .len = data->text.len },
                       });
}

/* Names and values in turn. */
static void
finish_hash(struct read *read, const struct resp_value *hash)
{
    const struct resp_value *data = NULL, *version = NULL;
    for (size_t i = 0; i + 1 < hash->count; i += 2) {
        if (is_field(&hash->items[i], "data") && is_text(&hash->items[i + 1]))
            data = &hash->items[i + 1];
        else if (is_field(&hash->items[i], "version") && is_text(&hash->items[i + 1]))
            version = &hash->items[i + 1];
    }
    if (hash->count == 0)
        read->finish(read, &(struct remora_state_value){ .found = false });
    else
        finish_found(read, data, version);
}

static void
on_hash(const struct conn_result *result, void *arg)
{
    struct read *read = arg;
    const struct resp_value *value = result->value;
    if (value != NULL && resp_is_error(value, "WRONGTYPE")) {
        if (read->store->has_json)
            read_send_script(read, "EVALSHA", script_read.sha);
        else
            read_send(read, "GET", on_string);
        return;
    }
    struct remora_failure *failure = failure_of(read->store, read->call, result, false, "");
    assert(value != NULL || failure != NULL);
    if (failure != NULL)
        read_failed(read, failure);
    else if (value->type == RESP_ARRAY || value->type == RESP_MAP)
        finish_hash(read, value);
    else
        read_failed(read, failure_new(read->call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                                      "redis answered HGETALL with something else"));
}

static void
on_string(const struct conn_result *result, void *arg)
{
    struct read *read = arg;
    struct remora_failure *failure = failure_of(read->store, read->call, result, false, "");
    assert(result->value != NULL || failure != NULL);
    if (failure != NULL)
        read_failed(read, failure);
    else if (is_text(result->value))
        read->finish(
            read, &(struct remora_state_value){
                      .found = true,
                      .value = { .data = result->value->text.data, .len = result->value->text.len },
                  });
    else
        read->finish(read, &(struct remora_state_value){ .found = false });
}

/* What script_read brings. */
static void
on_read_script(const struct conn_result *result, void *arg)
{
    struct read *read = arg;
    const struct resp_value *value = result->value;
    if (value != NULL && resp_is_error(value, "NOSCRIPT")) {
        read_send_script(read, "EVAL", script_read.text);
        return;
    }
    if (value == NULL || value->type != RESP_ARRAY || value->count != 2) {
        on_string(result, arg);
        return;
    }
    const struct resp_value *data = &value->items[0], *version = &value->items[1];
    if (data->type == RESP_NIL && version->type == RESP_NIL)
        read->finish(read, &(struct remora_state_value){ .found = false });
    else
        finish_found(read, is_text(data) ? data : NULL, is_text(version) ? version : NULL);
}

static void
start_read(struct read *read, const struct remora_state_get *get)
{
    if (store_wants_document(read->store, get->metadata, get->metadata_count))
        read_send_script(read, "EVALSHA", script_read.sha);
    else
        read_send(read, "HGETALL", on_hash);
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
finish_one(struct read *read, const struct remora_state_value *value)
{
    if (value->failure != NULL)
        remora_reply_failure(read->call, value->failure);
    else
        remora_state_reply_value(read->call, value);
}

void
state_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    struct read *read = remora_call_alloc(call, sizeof *read);
    *read = (struct read){ .store = self, .call = call, .key = get->key, .finish = finish_one };
    start_read(read, get);
}

/* --- many --------------------------------------------------------------------------------------*/

struct bulk {
    const struct remora_state_get *gets;
    struct read *reads; /* one a key */
    struct remora_state_value *values;
    size_t count, started, finished;
    size_t bytes;
    bool starting;
};

static void
start_reads(struct bulk *bulk)
{
    if (bulk->starting)
        return; /* a read that finished at once: the loop below goes on */
    bulk->starting = true;
    while (bulk->started < bulk->count && bulk->started - bulk->finished < WINDOW) {
        size_t i = bulk->started++;
        start_read(&bulk->reads[i], &bulk->gets[i]);
    }
    bulk->starting = false;
}

static void
bulk_reply(struct bulk *bulk)
{
    remora_state_reply_values(bulk->reads[0].call, bulk->values, bulk->count);
}

/* Values must outlive the replies they came in. */
static void
keep_value(struct bulk *bulk, struct read *read, struct remora_state_value *value)
{
    size_t bytes = value->value.len + value->etag.len;
    if (bulk->bytes + bytes > BULK_BYTES_MAX) {
        *value = (struct remora_state_value){
            .failure = failure_new(read->call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                                   "the values of this bulk get are too large together")
        };
        return;
    }
    bulk->bytes += bytes;
    char *copy = remora_call_alloc(read->call, bytes + 1);
    if (value->value.len > 0)
        memcpy(copy, value->value.data, value->value.len);
    value->value.data = copy;
    if (value->etag.len > 0)
        memcpy(copy + value->value.len, value->etag.data, value->etag.len);
    value->etag.data = copy + value->value.len;
}

static void
finish_in_bulk(struct read *read, const struct remora_state_value *value)
{
    struct bulk *bulk = read->bulk;
    struct remora_state_value *kept = &bulk->values[read - bulk->reads];
    *kept = *value;
    if (kept->found)
        keep_value(bulk, read, kept);
    bulk->finished++;
    start_reads(bulk);
    if (bulk->finished == bulk->count && !bulk->starting)
        bulk_reply(bulk);
}

void
state_get_many(remora_call *call, void *self, const struct remora_state_get *gets, size_t count,
               uint32_t parallelism)
{
    (void)parallelism; /* the server answers one after another anyway */
    if (count == 0) {
        remora_state_reply_values(call, NULL, 0);
        return;
    }
    struct bulk *bulk = remora_call_alloc(call, sizeof *bulk);
    *bulk = (struct bulk){
        .gets = gets,
        .reads = remora_call_alloc(call, count * sizeof(struct read)),
        .values = remora_call_alloc(call, count * sizeof(struct remora_state_value)),
        .count = count,
    };
    for (size_t i = 0; i < count; i++)
        bulk->reads[i] = (struct read){
            .store = self, .call = call, .key = gets[i].key, .finish = finish_in_bulk, .bulk = bulk
        };
    start_reads(bulk);
    if (bulk->finished == bulk->count)
        bulk_reply(bulk);
}
