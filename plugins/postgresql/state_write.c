/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and deleting, alone, many at once, and as a transaction. Many are first tried as one
 * transaction, since one commit is one wait for the disk: an ETag that does not match is no error
 * of the server and spoils nothing. What is one does, and then each of them is sent for itself.
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/base64.h"
#include "../shared/state_ttl.h"
#include "json.h"
#include "store.h"
#include "wire.h"

enum { ITEM_PARAMS = 5, UUID_LEN = 36 };

static const struct remora_failure etag_mismatch = {
    .code = REMORA_ABORTED,
    .effect = REMORA_EFFECT_FAILED,
    .reason = REMORA_REASON_ETAG_MISMATCH,
    .message = "possible etag mismatch. error from state store",
};

/* One save or deletion. */
struct item {
    const char *values[ITEM_PARAMS];
    int lengths[ITEM_PARAMS];
    char ttl[8];
    bool is_conditional;
    const struct remora_failure *failure; /* of many: what is said of it */
};

struct write {
    struct job job; /* first */
    remora_call *call;
    struct store *store;
    struct command *commands;
    struct item *items;
    size_t count;
    bool is_atomic; /* all or nothing, which one alone is too */
    /* Of many: the number of each command's item, since those that are refused here are not sent.
     */
    size_t *numbers;
    size_t sent;
};

/* --- what is sent ------------------------------------------------------------------------------*/

static const struct remora_failure *
refuse(remora_call *call, enum remora_code code, const char *reason, const char *words)
{
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    size_t bytes = strlen(words) + 1;
    char *message = remora_call_alloc(call, bytes);
    memcpy(message, words, bytes);
    *failure = (struct remora_failure){ .code = code, .reason = reason, .message = message };
    return failure;
}

static void
put(struct command *command, struct item *item, const char *data, size_t len)
{
    item->values[command->count] = len > 0 ? data : "";
    item->lengths[command->count++] = (int)len;
}

static bool
is_uuid(struct remora_slice text)
{
    bool ok = text.len == UUID_LEN;
    for (size_t i = 0; ok && i < UUID_LEN; i++) {
        char c = text.data[i];
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        ok = is_dash ? c == '-'
                     : (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    }
    return ok;
}

/* A number of 32 bits in version 1. In version 2 what is no UUID is none that was ever given. */
static const struct remora_failure *
check_etag(remora_call *call, const struct store *store, struct remora_slice etag)
{
    int64_t number;
    if (store->layout.is_v2)
        return is_uuid(etag) ? NULL : &etag_mismatch;
    char words[160];
    if (etag.data[0] != '+' && remora_parse_i64(etag, &number) && number >= 0 &&
        number <= UINT32_MAX)
        return NULL;
    snprintf(words, sizeof words,
             "invalid etag value: strconv.ParseUint: parsing \"%.*s\": invalid syntax",
             (int)(etag.len > 64 ? 64 : etag.len), etag.data);
    return refuse(call, REMORA_INVALID_ARGUMENT, REMORA_REASON_ETAG_INVALID, words);
}

/* Of version 1: a JSON value as it is, all others as a JSON text in base64; also what jsonb cannot
 * hold, which reads back as it was sent. */
static const char *
value_v1(remora_call *call, const struct remora_state_set *set, size_t *ret_len, bool *ret_binary)
{
    *ret_binary = !set->json || !json_fits_jsonb(set->value);
    *ret_len = set->value.len;
    if (!*ret_binary)
        return set->value.data;
    size_t len = base64_encoded_len(set->value.len);
    char *text = remora_call_alloc(call, len + 2);
    text[0] = text[len + 1] = '"';
    base64_encode(set->value.data, set->value.len, text + 1);
    *ret_len = len + 2;
    return text;
}

static void
put_ttl(struct command *command, struct item *item, const struct remora_state_set *set)
{
    bool expires = set->has_ttl && set->ttl_seconds > 0;
    wire_put_i64(item->ttl, set->ttl_seconds);
    item->values[command->count] = expires ? item->ttl : NULL;
    item->lengths[command->count++] = expires ? 8 : 0;
}

static const struct remora_failure *
check_set(remora_call *call, const struct store *store, const struct remora_state_set *set,
          bool with_etag)
{
    char why[STATE_TTL_WHY_BYTES];
    if (set->value.len > VALUE_BYTES_MAX)
        return refuse(call, REMORA_INVALID_ARGUMENT, NULL, "the value is longer than 256 MiB");
    if (!state_ttl_check(set, why))
        return refuse(call, REMORA_INTERNAL, NULL, why);
    return with_etag ? check_etag(call, store, set->etag) : NULL;
}

/* NULL, or why it is not sent. `is_atomic`: its condition is one of the whole. */
static const struct remora_failure *
make_set(struct write *write, struct command *command, struct item *item,
         const struct remora_state_set *set)
{
    static const char truth[] = { 0, 1 };
    bool with_etag = set->has_etag && set->etag.len > 0, is_binary = false;
    bool if_absent = !with_etag && set->concurrency == REMORA_FIRST_WRITE;
    const struct remora_failure *failure = check_set(write->call, write->store, set, with_etag);
    if (failure != NULL)
        return failure;
    enum layout_statement statement = with_etag   ? LAYOUT_SET_IF_ETAG
                                      : if_absent ? LAYOUT_SET_IF_ABSENT
                                                  : LAYOUT_SET;
    item->is_conditional = with_etag || if_absent;
    if (item->is_conditional && write->is_atomic)
        statement += LAYOUT_SET_IF_ABSENT_OR_FAIL - LAYOUT_SET_IF_ABSENT;
    *command = (struct command){ .statement = (int)statement,
                                 .values = item->values,
                                 .lengths = item->lengths };
    put(command, item, set->key.data, set->key.len);
    size_t len = set->value.len;
    const char *value = write->store->layout.is_v2 ? set->value.data
                                                   : value_v1(write->call, set, &len, &is_binary);
    put(command, item, value, len);
    put_ttl(command, item, set);
    if (with_etag)
        put(command, item, set->etag.data, set->etag.len);
    if (!write->store->layout.is_v2)
        put(command, item, &truth[is_binary], 1);
    write->job.bytes += set->key.len + len + sizeof *item;
    return NULL;
}

static const struct remora_failure *
make_delete(struct write *write, struct command *command, struct item *item,
            const struct remora_state_delete *del)
{
    bool with_etag = del->has_etag && del->etag.len > 0;
    const struct remora_failure *failure = with_etag
                                               ? check_etag(write->call, write->store, del->etag)
                                               : NULL;
    if (failure != NULL)
        return failure;
    enum layout_statement statement = with_etag ? LAYOUT_DELETE_IF_ETAG : LAYOUT_DELETE;
    item->is_conditional = with_etag;
    if (with_etag && write->is_atomic)
        statement = LAYOUT_DELETE_IF_ETAG_OR_FAIL;
    *command = (struct command){ .statement = (int)statement,
                                 .values = item->values,
                                 .lengths = item->lengths };
    put(command, item, del->key.data, del->key.len);
    if (with_etag)
        put(command, item, del->etag.data, del->etag.len);
    write->job.bytes += del->key.len + sizeof *item;
    return NULL;
}

/* --- the order of locks ------------------------------------------------------------------------*/

struct place {
    struct remora_slice key;
    size_t number;
};

static int
compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    size_t len = left->key.len < right->key.len ? left->key.len : right->key.len;
    int order = len == 0 ? 0 : memcmp(left->key.data, right->key.data, len);
    if (order != 0)
        return order;
    if (left->key.len != right->key.len)
        return left->key.len < right->key.len ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

/* Rows are locked in the order of their keys, whoever writes them, so that two transactions cannot
 * wait for each other. Only what is done to one key has an order that can be seen. */
static void
sort_places(struct place *places, size_t count)
{
    if (count > 1)
        qsort(places, count, sizeof *places, compare_places);
}

/* --- all or nothing ----------------------------------------------------------------------------*/

static void
on_atomic_done(struct job *job, const struct trouble *trouble)
{
    struct write *write = (struct write *)job;
    if (trouble == NULL)
        remora_reply_ok(write->call);
    else if (strcmp(trouble->state, LAYOUT_FAILED_STATE) == 0)
        remora_reply_failure(write->call, &etag_mismatch);
    else
        remora_reply_failure(write->call, store_failure(write->call, trouble, ""));
}

static struct write *
write_new(remora_call *call, struct store *store, size_t count, bool is_atomic)
{
    struct write *write = remora_call_alloc(call, sizeof *write);
    *write = (struct write){
        .job = { .call = call, .bytes = REQUEST_BYTES, .is_write = true },
        .call = call,
        .store = store,
        .commands = remora_call_alloc(call, (count + 1) * sizeof(struct command)),
        .items = remora_call_alloc(call, (count + 1) * sizeof(struct item)),
        .count = count,
        .is_atomic = is_atomic,
    };
    memset(write->items, 0, (count + 1) * sizeof(struct item));
    write->job.commands = write->commands;
    return write;
}

static void
submit_atomic(struct write *write)
{
    write->job.count = write->count;
    write->job.done = on_atomic_done;
    pool_submit(write->store->pool, &write->job);
}

void
state_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    struct write *write = write_new(call, self, 1, true);
    const struct remora_failure *failure = make_set(write, write->commands, write->items, set);
    if (failure != NULL)
        remora_reply_failure(call, failure);
    else
        submit_atomic(write);
}

void
state_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    struct write *write = write_new(call, self, 1, true);
    const struct remora_failure *failure = make_delete(write, write->commands, write->items, del);
    if (failure != NULL)
        remora_reply_failure(call, failure);
    else
        submit_atomic(write);
}

void
state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata, (void)metadata_count; /* none that this store knows */
    if (count == 0) {
        remora_reply_ok(call);
        return;
    }
    struct write *write = write_new(call, self, count, true);
    struct place *places = remora_call_alloc(call, count * sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){ ops[i].is_delete ? ops[i].del.key : ops[i].set.key, i };
    sort_places(places, count);
    for (size_t i = 0; i < count; i++) {
        const struct remora_state_operation *op = &ops[places[i].number];
        const struct remora_failure *failure = op->is_delete
                                                   ? make_delete(write, &write->commands[i],
                                                                 &write->items[i], &op->del)
                                                   : make_set(write, &write->commands[i],
                                                              &write->items[i], &op->set);
        if (failure != NULL) {
            remora_reply_failure(call, failure);
            return;
        }
    }
    submit_atomic(write);
}

/* --- many, each for itself ---------------------------------------------------------------------*/

static void
reply_many(struct write *write)
{
    const struct remora_failure **failures = remora_call_alloc(write->call,
                                                               (write->count + 1) * sizeof(void *));
    for (size_t i = 0; i < write->count; i++)
        failures[i] = write->items[i].failure;
    remora_state_reply_failures(write->call, failures, write->count);
}

static bool
on_many_result(struct job *job, size_t command, PGresult *result)
{
    struct write *write = (struct write *)job;
    struct item *item = &write->items[write->numbers[command]];
    item->failure = item->is_conditional && pool_rows_changed(result) == 0 ? &etag_mismatch : NULL;
    return false;
}

static void
on_one_failed(struct job *job, size_t command, const struct trouble *trouble)
{
    struct write *write = (struct write *)job;
    write->items[write->numbers[command]].failure = store_failure(write->call, trouble, "");
}

static void
on_each_done(struct job *job, const struct trouble *trouble)
{
    struct write *write = (struct write *)job;
    if (trouble != NULL)
        remora_reply_failure(write->call, store_failure(write->call, trouble, ""));
    else
        reply_many(write);
}

static void
on_many_done(struct job *job, const struct trouble *trouble)
{
    struct write *write = (struct write *)job;
    if (trouble == NULL) {
        reply_many(write);
        return;
    }
    /* Without a state nobody knows what happened; with one the transaction was rolled back, if it
     * was not the server that went. */
    bool is_rolled_back = trouble->state[0] != '\0' && trouble->code != REMORA_UNAVAILABLE;
    bool is_deadlock = strcmp(trouble->state, "40P01") == 0;
    if ((!is_rolled_back && !is_deadlock) || write->sent == 1) {
        remora_reply_failure(write->call, store_failure(write->call, trouble, ""));
        return;
    }
    write->job.is_independent = true;
    write->job.on_failed = on_one_failed;
    write->job.done = on_each_done;
    pool_submit(write->store->pool, &write->job);
}

static struct write *
many_new(remora_call *call, struct store *store, size_t count)
{
    struct write *write = write_new(call, store, count, false);
    write->numbers = remora_call_alloc(call, (count + 1) * sizeof(size_t));
    return write;
}

static void
add_to_many(struct write *write, size_t number, const struct remora_failure *failure)
{
    write->items[number].failure = failure;
    if (failure == NULL)
        write->numbers[write->sent++] = number;
}

static void
submit_many(struct write *write)
{
    write->job.count = write->sent;
    write->job.on_result = on_many_result;
    write->job.done = on_many_done;
    if (write->sent == 0)
        reply_many(write);
    else
        pool_submit(write->store->pool, &write->job);
}

void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count)
{
    struct write *write = many_new(call, self, count);
    struct place *places = remora_call_alloc(call, (count + 1) * sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){ sets[i].key, i };
    sort_places(places, count);
    for (size_t i = 0; i < count; i++) {
        size_t number = places[i].number;
        add_to_many(
            write, number,
            make_set(write, &write->commands[write->sent], &write->items[number], &sets[number]));
    }
    submit_many(write);
}

void
state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                  size_t count)
{
    struct write *write = many_new(call, self, count);
    struct place *places = remora_call_alloc(call, (count + 1) * sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){ dels[i].key, i };
    sort_places(places, count);
    for (size_t i = 0; i < count; i++) {
        size_t number = places[i].number;
        add_to_many(write, number,
                    make_delete(write, &write->commands[write->sent], &write->items[number],
                                &dels[number]));
    }
    submit_many(write);
}
