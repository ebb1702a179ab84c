/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on several items; see dynamo.h. Reads are batches of 100 keys, one after another; what
 * the service leaves out of an answer, because it was too long or too much at a time, is asked for
 * again. A transaction is one request.
 */
#include <ev.h>
#include <string.h>
#include <time.h>

#include "dynamo.h"
#include "dynamo_failure.h"

enum {
    BATCH_MAX = 100, /* the service's */
    TRIES_MAX = 6,   /* of a batch, without anything coming of it */
    PAUSE_MIN_MS = 50,
    READ_BYTES_MAX = 512 * 1024 * 1024,      /* of all batches together */
    TRANSACTION_BYTES_MAX = 4 * 1024 * 1024, /* the service's */
};

/* --- reading -----------------------------------------------------------------------------------*/

/* A call under way, in its memory. */
struct reading {
    remora_call *call;
    struct dynamo *dynamo;
    const struct remora_state_get *gets;
    struct remora_state_value *values;
    bool *is_open;            /* it is still to be asked for */
    size_t count, begin, end; /* the batch */
    size_t bytes;
    unsigned tries;
    struct service_ask *ask; /* or else the pause */
    ev_timer pause;
};

static void
on_reading_cancelled(remora_call *call, void *arg)
{
    struct reading *reading = arg;
    service_ask_end(reading->ask);
    ev_timer_stop(remora_loop(), &reading->pause);
    remora_reply_failure(call, dynamo_failure_given_up(call, false));
}

static bool
is_same(struct remora_slice a, struct remora_slice b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* The batch's own keys only: a batch has each key once. */
static bool
is_first(const struct reading *reading, size_t i)
{
    for (size_t j = reading->begin; j < i; j++)
        if (reading->is_open[j] && is_same(reading->gets[j].key, reading->gets[i].key))
            return false;
    return reading->is_open[i];
}

static void
fail_open(struct reading *reading, const struct remora_failure *failure)
{
    for (size_t i = reading->begin; i < reading->end; i++)
        if (reading->is_open[i]) {
            reading->values[i] = (struct remora_state_value){ .failure = failure };
            reading->is_open[i] = false;
        }
}

static void
take_item(struct reading *reading, const cJSON *item)
{
    const char *key = item_key(&reading->dynamo->names, item);
    char why[ITEM_WHY_BYTES];
    for (size_t i = reading->begin; key != NULL && i < reading->end; i++) {
        const struct remora_slice wanted = reading->gets[i].key;
        struct remora_state_value *value = &reading->values[i];
        if (!reading->is_open[i] || !remora_slice_eq(wanted, key))
            continue;
        if (!item_read(reading->call, &reading->dynamo->names, item, wanted, time(NULL), value,
                       why))
            value->failure = dynamo_failure_new(reading->call, REMORA_INTERNAL,
                                                REMORA_EFFECT_FAILED, "%s", why);
        reading->bytes += value->value.len;
        reading->is_open[i] = false;
    }
}

/* Is that key among those that have not been read? */
static bool
is_left(const struct item_names *names, const cJSON *left, struct remora_slice key)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, left)
    {
        const char *text = item_key(names, item);
        if (text != NULL && remora_slice_eq(key, text))
            return true;
    }
    return false;
}

/* False: not one of them has been read. */
static bool
take_answer(struct reading *reading, const cJSON *tree)
{
    const struct item_names *names = &reading->dynamo->names;
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "Responses"), names->table);
    const cJSON *left = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(tree, "UnprocessedKeys"),
                                         names->table),
        "Keys");
    size_t open = 0, still_open = 0;
    for (size_t i = reading->begin; i < reading->end; i++)
        open += reading->is_open[i];
    const cJSON *item;
    cJSON_ArrayForEach(item, items) take_item(reading, item);
    for (size_t i = reading->begin; i < reading->end; i++) {
        reading->is_open[i] = reading->is_open[i] && is_left(names, left, reading->gets[i].key);
        still_open += reading->is_open[i];
    }
    return still_open < open;
}

static void read_on(struct reading *reading);

static void
on_batch(const struct service_reply *reply, void *arg)
{
    struct reading *reading = arg;
    const struct remora_failure *failure = dynamo_failure(reading->call, reply, false);
    reading->ask = NULL;
    if (failure != NULL)
        fail_open(reading, failure);
    else
        reading->tries = take_answer(reading, reply->tree) ? 0 : reading->tries + 1;
    if (reading->tries == TRIES_MAX)
        fail_open(reading, dynamo_failure_new(
                               reading->call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                               "operation error DynamoDB: BatchGetItem, %d times nothing was read "
                               "of what was asked for (UnprocessedKeys)",
                               TRIES_MAX));
    if (reading->bytes > READ_BYTES_MAX) {
        reading->end = reading->count;
        fail_open(reading, dynamo_failure_new(
                               reading->call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                               "more than %d bytes were asked for at a time", READ_BYTES_MAX));
    }
    read_on(reading);
}

static void
ask_for_batch(struct reading *reading)
{
    const struct item_names *names = &reading->dynamo->names;
    struct text body = { .bytes = NULL };
    bool is_consistent = false, is_next = false;
    json_put_raw(&body, "{\"RequestItems\":{");
    json_put(&body, (struct remora_slice){ names->table, strlen(names->table) });
    json_put_raw(&body, ":{\"Keys\":[");
    for (size_t i = reading->begin; i < reading->end; i++) {
        if (!is_first(reading, i))
            continue;
        json_put_raw(&body, is_next ? "," : "");
        item_put_key(&body, names, reading->gets[i].key);
        is_next = true;
    }
    for (size_t i = reading->begin; i < reading->end; i++)
        is_consistent = is_consistent || reading->gets[i].consistency == REMORA_STRONG;
    json_put_raw(&body, is_consistent ? "],\"ConsistentRead\":true}}}" : "]}}}");
    reading->ask = dynamo_ask(reading->dynamo, reading->call, "BatchGetItem", body, on_batch,
                              reading);
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *pause, int events)
{
    (void)loop;
    (void)events;
    ask_for_batch(pause->data);
}

static bool
is_batch_done(const struct reading *reading)
{
    for (size_t i = reading->begin; i < reading->end; i++)
        if (reading->is_open[i])
            return false;
    return true;
}

/* What is left of the batch, after a pause if nothing came of the last try, or the next one. */
static void
read_on(struct reading *reading)
{
    while (is_batch_done(reading) && reading->end < reading->count) {
        reading->tries = 0;
        reading->begin = reading->end;
        reading->end = reading->count - reading->begin < BATCH_MAX ? reading->count
                                                                   : reading->begin + BATCH_MAX;
    }
    if (is_batch_done(reading)) {
        remora_state_reply_values(reading->call, reading->values, reading->count);
    } else if (reading->tries == 0) {
        ask_for_batch(reading);
    } else {
        ev_timer_set(&reading->pause, PAUSE_MIN_MS * (1u << (reading->tries - 1)) / 1000.0, 0);
        ev_timer_start(remora_loop(), &reading->pause);
    }
}

void
dynamo_get_many(remora_call *call, void *self, const struct remora_state_get *gets, size_t count,
                uint32_t parallelism)
{
    (void)parallelism;
    char why[ITEM_WHY_BYTES];
    struct reading *reading = remora_call_alloc(call, sizeof *reading);
    *reading = (struct reading){
        .call = call,
        .dynamo = self,
        .gets = gets,
        .count = count,
        .values = remora_call_alloc(call, (count + 1) * sizeof *reading->values),
        .is_open = remora_call_alloc(call, count + 1),
    };
    ev_init(&reading->pause, on_pause_over);
    reading->pause.data = reading;
    for (size_t i = 0; i < count; i++) {
        reading->is_open[i] = item_check_key(gets[i].key, why);
        reading->values[i] = (struct remora_state_value){ .found = false };
        if (!reading->is_open[i])
            reading->values[i].failure = dynamo_failure_new(call, REMORA_INVALID_ARGUMENT,
                                                            REMORA_EFFECT_FAILED, "%s", why);
    }
    bool is_asked = false;
    for (size_t i = 0; i < count; i++)
        is_asked = is_asked || reading->is_open[i];
    read_on(reading); /* without a question the call has been answered */
    if (is_asked)
        remora_call_on_cancel(call, on_reading_cancelled, reading);
}

/* --- transactions ------------------------------------------------------------------------------*/

struct transaction {
    remora_call *call;
    struct service_ask *ask;
};

static void
on_transaction_cancelled(remora_call *call, void *arg)
{
    struct transaction *transaction = arg;
    const bool may_be_done = service_ask_was_sent(transaction->ask);
    service_ask_end(transaction->ask);
    remora_reply_failure(call, dynamo_failure_given_up(call, may_be_done));
}

static void
on_transacted(const struct service_reply *reply, void *arg)
{
    struct transaction *transaction = arg;
    const struct remora_failure *failure = dynamo_failure(transaction->call, reply, true);
    if (failure == NULL)
        remora_reply_ok(transaction->call);
    else
        remora_reply_failure(transaction->call, failure);
}

/*
 * The service takes one operation for each item. Several in order are the last of them, on the
 * condition of the first: what the others see is what those before them leave. False: one of them
 * cannot succeed, and so none does.
 */
static bool
fold(struct item_write *writes, size_t *count, const struct item_write *next)
{
    size_t i = 0;
    while (i < *count && !is_same(writes[i].key, next->key))
        i++;
    if (i == *count) {
        writes[(*count)++] = *next;
        return true;
    }
    const struct item_write before = writes[i];
    if (next->condition == ITEM_HAS_ETAG) /* of one that is new nobody knows it */
        return false;
    if (next->condition == ITEM_ABSENT && !before.is_delete)
        return false;
    writes[i] = *next;
    writes[i].condition = before.condition;
    writes[i].etag = before.etag;
    return true;
}

/* False: the call has been answered. */
static bool
read_operations(remora_call *call, const struct dynamo *dynamo,
                const struct remora_state_operation *ops, size_t op_count, int64_t now_s,
                struct item_write *writes, size_t *ret_count)
{
    char why[ITEM_WHY_BYTES];
    struct item_write write;
    *ret_count = 0;
    for (size_t i = 0; i < op_count; i++) {
        const bool is_good = ops[i].is_delete
                                 ? dynamo_read_delete(dynamo, &ops[i].del, &write, why)
                                 : dynamo_read_set(dynamo, &ops[i].set, now_s, &write, why);
        if (!is_good) {
            remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
            return false;
        }
        if (!item_can_match(&write) || !fold(writes, ret_count, &write)) {
            remora_reply_failure(call, dynamo_failure_mismatch(call));
            return false;
        }
    }
    return true;
}

static bool
fits(remora_call *call, const struct dynamo *dynamo, const struct item_write *writes, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += item_bytes(&dynamo->names, &writes[i]);
    if (bytes > TRANSACTION_BYTES_MAX)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "dynamodb error: the items of a transaction have %zu bytes, DynamoDB "
                           "takes %d",
                           bytes, TRANSACTION_BYTES_MAX);
    return bytes <= TRANSACTION_BYTES_MAX;
}

void
dynamo_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
                size_t op_count, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata, (void)metadata_count;
    const struct dynamo *dynamo = self;
    const int64_t now_s = time(NULL);
    struct item_write *writes = remora_call_alloc(call, (op_count + 1) * sizeof *writes);
    size_t count;
    if (op_count == 0) {
        remora_reply_ok(call);
        return;
    }
    if (!read_operations(call, dynamo, ops, op_count, now_s, writes, &count) ||
        !fits(call, dynamo, writes, count))
        return;
    struct text body = { .bytes = NULL };
    json_put_raw(&body, "{\"TransactItems\":[");
    for (size_t i = 0; i < count; i++) {
        json_put_raw(&body, i > 0 ? "," : "");
        json_put_raw(&body, writes[i].is_delete ? "{\"Delete\":" : "{\"Put\":");
        item_put_write(&body, &dynamo->names, &writes[i], now_s);
        json_put_raw(&body, "}");
    }
    json_put_raw(&body, "]}");
    struct transaction *transaction = remora_call_alloc(call, sizeof *transaction);
    transaction->call = call;
    transaction->ask = dynamo_ask(dynamo, call, "TransactWriteItems", body, on_transacted,
                                  transaction);
    remora_call_on_cancel(call, on_transaction_cancelled, transaction);
}
