/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and deleting, alone, many at once, and as a transaction. Every write is one command to the
 * server, mostly a script (scripts.h), so that it happens whole or not at all.
 */
#include "store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The reference's own scripts raise these errors, and its users see them; ours answer with a number
 * instead, and the texts are kept so that applications and recordings find what they know. */
#define SET_CONFLICT                                                                               \
    "ERR user_script:14: failed to set key "                                                       \
    "%.*s script: d908b9553add63a82e03589b5c6d01a7654ef0f2, on @user_script:14."
#define DELETE_CONFLICT                                                                            \
    "ERR user_script:6: failed to delete "                                                         \
    "%.*s script: 2446db0de2c963f100727b388f03ead01d18c265, on @user_script:6."
#define MISMATCH "possible etag mismatch. error from state store: "

enum { KEY_SHOWN = 512, PREFIX_BYTES = KEY_SHOWN + 64, NUMBER_BYTES = 24, WRITE_ARGS = 9 };

struct write;
typedef const struct remora_failure *judge_fn(struct write *write, int64_t answer);
typedef void finish_fn(struct write *write, const struct remora_failure *failure);

struct write {
    struct store *store;
    remora_call *call;
    /* The command. With a script, args[0] and args[1] say how to run it, and judge() what its
     * answer means. */
    const struct script *script;
    judge_fn *judge;
    struct remora_slice *args;
    size_t count;
    struct remora_slice key; /* empty for a transaction */
    const char *action;      /* "failed to set key ", or NULL: errors are told as they come */
    bool has_etag, strong, wants_documents;
    finish_fn *finish;  /* failure NULL: done */
    struct many *many;  /* or NULL */
    struct write *next; /* in the store's lists of those who wait for replicas */
    const struct remora_state_operation *ops; /* of a transaction */
    struct remora_slice own_args[WRITE_ARGS];
    char expected[NUMBER_BYTES], expiry[NUMBER_BYTES];
};

static int
shown(struct remora_slice key)
{
    return key.len > KEY_SHOWN ? KEY_SHOWN : (int)key.len;
}

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

static void
action_prefix(const struct write *write, char prefix[PREFIX_BYTES])
{
    prefix[0] = '\0';
    if (write->action != NULL)
        snprintf(prefix, PREFIX_BYTES, "%s%.*s: ", write->action, shown(write->key),
                 write->key.data);
}

/* --- the replicas of strong writes -------------------------------------------------------------*/

static void on_wait(const struct conn_result *result, void *arg);

static void
fail_waiting(struct store *store, const struct conn_result *result)
{
    struct write *write = store->waiting_now;
    store->waiting_now = NULL;
    for (struct write *next; write != NULL; write = next) {
        char prefix[PREFIX_BYTES];
        next = write->next;
        snprintf(prefix, sizeof prefix,
                 "redis waiting for %u replicas to acknowledge write, err: ", store->replicas);
        struct remora_failure *failure = result == NULL
                                             ? failure_busy(write->call)
                                             : failure_of(store, write->call, result, true, prefix);
        if (failure != NULL)
            failure->effect = REMORA_EFFECT_UNKNOWN; /* it is written, only not acknowledged */
        write->finish(write, failure);
    }
}

/* One WAIT at a time: it covers all writes before it, so those that come meanwhile share the next.
 */
static void
wait_for_replicas(struct store *store)
{
    char replicas[NUMBER_BYTES], timeout[NUMBER_BYTES];
    if (store->waiting_now != NULL || store->waiting_next == NULL)
        return;
    store->waiting_now = store->waiting_next;
    store->waiting_next = NULL;
    snprintf(replicas, sizeof replicas, "%u", store->replicas);
    snprintf(timeout, sizeof timeout, "%d", STORE_WAIT_MS);
    struct remora_slice args[3] = { text("WAIT"), text(replicas), text(timeout) };
    if (!conn_command(store_strong_conn(store), args, 3, 0, on_wait, store))
        fail_waiting(store, NULL);
}

static void
on_wait(const struct conn_result *result, void *arg)
{
    struct store *store = arg;
    fail_waiting(store, result);
    wait_for_replicas(store);
}

static void
settle(struct write *write, const struct remora_failure *failure)
{
    struct store *store = write->store;
    if (failure != NULL || !write->strong || store->replicas == 0) {
        write->finish(write, failure);
        return;
    }
    write->next = store->waiting_next;
    store->waiting_next = write;
    wait_for_replicas(store);
}

/* --- one command -------------------------------------------------------------------------------*/

static void on_written(const struct conn_result *result, void *arg);

static void
send_write(struct write *write)
{
    struct conn *conn = write->strong ? store_strong_conn(write->store) : write->store->conn;
    if (!conn_command(conn, write->args, write->count, store_wait_ms(write->call), on_written,
                      write))
        write->finish(write, failure_busy(write->call));
}

static void
on_written(const struct conn_result *result, void *arg)
{
    struct write *write = arg;
    const struct resp_value *value = result->value;
    char prefix[PREFIX_BYTES];
    if (value != NULL && write->script != NULL && resp_is_error(value, "NOSCRIPT")) {
        write->args[0] = text("EVAL");
        write->args[1] = text(write->script->text);
        send_write(write);
        return;
    }
    action_prefix(write, prefix);
    const struct remora_failure *failure = failure_of(write->store, write->call, result, true,
                                                      prefix);
    assert(value != NULL || failure != NULL);
    if (failure == NULL && write->judge != NULL) {
        if (value->type == RESP_INTEGER)
            failure = write->judge(write, value->integer);
        else
            failure = failure_new(write->call, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                                  "%sredis answered a script with something else", prefix);
    }
    settle(write, failure);
}

static struct remora_failure *
with_reason(struct remora_failure *failure, const char *reason)
{
    failure->reason = reason;
    return failure;
}

static struct remora_failure *
bad_version(remora_call *call, struct remora_slice key)
{
    return failure_new(call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                       "failed to set key %.*s: ERR hash value is not an integer", shown(key),
                       key.data);
}

static const struct remora_failure *
judge_set(struct write *write, int64_t answer)
{
    int len = shown(write->key);
    const char *key = write->key.data;
    if (answer == SCRIPT_DONE)
        return NULL;
    if (answer == SCRIPT_BAD_VERSION || answer < 0) /* the latter from script_documents */
        return bad_version(write->call, write->key);
    struct remora_failure *failure =
        write->has_etag ? failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                      MISMATCH SET_CONFLICT, len, key)
                        : failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                      "failed to set key %.*s: " SET_CONFLICT, len, key, len, key);
    return with_reason(failure, REMORA_REASON_ETAG_MISMATCH);
}

static const struct remora_failure *
judge_delete(struct write *write, int64_t answer)
{
    if (answer == SCRIPT_DONE)
        return NULL;
    return with_reason(failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                   MISMATCH DELETE_CONFLICT, shown(write->key), write->key.data),
                       REMORA_REASON_ETAG_MISMATCH);
}

/* --- what a save asks for ----------------------------------------------------------------------*/

/* What the scripts take. */
struct set_terms {
    char *expected, *expiry; /* NUMBER_BYTES each, to be filled */
    const char *first;
};

/* The ETag is a number, unless the last write is to win, which needs none. */
static struct remora_failure *
read_etag(remora_call *call, const struct remora_state_set *set, char *ret_expected)
{
    char why[SETTINGS_WHY_BYTES];
    int64_t version = 0;
    if (set->concurrency != REMORA_LAST_WRITE && set->has_etag && set->etag.len > 0 &&
        !parse_int(set->etag, "Atoi", &version, why))
        return with_reason(failure_new(call, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                                       "invalid etag value: %s", why),
                           REMORA_REASON_ETAG_INVALID);
    snprintf(ret_expected, NUMBER_BYTES, "%" PRId64, version);
    return NULL;
}

/* The item's own, else the component's, else what the key has. Zero and less clear it. */
static struct remora_failure *
read_expiry(const struct store *store, remora_call *call, const struct remora_state_set *set,
            char *ret_expiry)
{
    struct remora_slice given;
    char why[SETTINGS_WHY_BYTES];
    bool has_ttl = set->has_ttl || store->server.settings.has_ttl;
    int64_t ttl = set->has_ttl ? set->ttl_seconds : store->server.settings.ttl_seconds;
    if (!set->has_ttl &&
        remora_metadata_get(set->metadata, set->metadata_count, "ttlInSeconds", &given) &&
        given.len > 0) {
        if (!parse_int(given, "ParseInt", &ttl, why))
            return failure_new(call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                               "failed to parse ttl from metadata: %s", why);
        has_ttl = true;
    }
    /* The server refuses what does not fit its clock, but only after the script has written. */
    if (has_ttl && ttl > INT64_MAX / 1000 - (int64_t)time(NULL) - 1)
        return failure_new(
            call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
            "failed to set key %.*s ttl: ERR invalid expire time in 'expire' command",
            shown(set->key), set->key.data);
    if (!has_ttl)
        snprintf(ret_expiry, NUMBER_BYTES, "keep");
    else if (ttl <= 0)
        snprintf(ret_expiry, NUMBER_BYTES, "clear");
    else
        snprintf(ret_expiry, NUMBER_BYTES, "%" PRId64, ttl);
    return NULL;
}

static struct remora_failure *
read_terms(const struct store *store, remora_call *call, const struct remora_state_set *set,
           struct set_terms *terms)
{
    struct remora_failure *failure = read_etag(call, set, terms->expected);
    if (failure == NULL)
        failure = read_expiry(store, call, set, terms->expiry);
    terms->first = set->concurrency == REMORA_FIRST_WRITE ? "0" : "1";
    return failure;
}

static bool
has_etag(bool given, struct remora_slice etag)
{
    return given && etag.len > 0;
}

static void
start_set(struct write *write, const struct remora_state_set *set)
{
    struct set_terms terms = { .expected = write->expected, .expiry = write->expiry };
    write->key = set->key;
    write->action = "failed to set key ";
    write->has_etag = has_etag(set->has_etag, set->etag);
    write->strong = set->consistency == REMORA_STRONG && write->store->replicas > 0;
    const bool is_document = store_wants_document(write->store, set->metadata, set->metadata_count);
    write->script = is_document ? &script_documents : &script_set;
    write->judge = judge_set;
    struct remora_failure *failure = read_terms(write->store, write->call, set, &terms);
    if (failure != NULL) {
        write->finish(write, failure);
        return;
    }
    struct remora_slice *args = write->args = write->own_args;
    *args++ = text("EVALSHA");
    *args++ = text(write->script->sha);
    *args++ = text("1");
    *args++ = set->key;
    if (is_document)
        *args++ = text("doc");
    *args++ = text(write->expected);
    *args++ = set->value;
    *args++ = text(terms.first);
    *args++ = text(write->expiry);
    write->count = (size_t)(args - write->own_args);
    send_write(write);
}

static void
start_delete(struct write *write, const struct remora_state_delete *del)
{
    write->key = del->key;
    write->has_etag = has_etag(del->has_etag, del->etag);
    write->strong = del->consistency == REMORA_STRONG && write->store->replicas > 0;
    write->args = write->own_args;
    if (!write->has_etag) {
        write->args[0] = text("DEL");
        write->args[1] = del->key;
        write->count = 2;
    } else if (write->store->has_json) { /* the version may be a document's */
        write->script = &script_documents;
        write->args[4] = text("del");
        write->args[5] = del->etag;
        write->args[6] = write->args[7] = write->args[8] = text("");
        write->count = 9;
    } else {
        write->script = &script_del;
        write->args[4] = del->etag;
        write->count = 5;
    }
    if (write->script != NULL) {
        write->judge = judge_delete;
        write->args[0] = text("EVALSHA");
        write->args[1] = text(write->script->sha);
        write->args[2] = text("1");
        write->args[3] = del->key;
    }
    send_write(write);
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
finish_one(struct write *write, const struct remora_failure *failure)
{
    if (failure != NULL)
        remora_reply_failure(write->call, failure);
    else
        remora_reply_ok(write->call);
}

static struct write *
write_new(remora_call *call, struct store *store)
{
    struct write *write = remora_call_alloc(call, sizeof *write);
    *write = (struct write){ .store = store, .call = call, .finish = finish_one };
    return write;
}

void
state_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    start_set(write_new(call, self), set);
}

void
state_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    start_delete(write_new(call, self), del);
}

/* --- many, each for itself ---------------------------------------------------------------------*/

struct many {
    remora_call *call;
    struct write *writes;
    const struct remora_failure **failures;
    size_t count, finished;
    bool started;
};

static void
many_reply(struct many *many)
{
    if (many->started && many->finished == many->count)
        remora_state_reply_failures(many->call, many->failures, many->count);
}

static void
finish_in_many(struct write *write, const struct remora_failure *failure)
{
    struct many *many = write->many;
    many->failures[write - many->writes] = failure;
    many->finished++;
    many_reply(many);
}

static struct many *
many_new(remora_call *call, struct store *store, size_t count)
{
    struct many *many = remora_call_alloc(call, sizeof *many);
    *many = (struct many){
        .call = call,
        .writes = remora_call_alloc(call, count * sizeof(struct write)),
        .failures = remora_call_alloc(call, count * sizeof(void *)),
        .count = count,
    };
    for (size_t i = 0; i < count; i++) {
        many->writes[i] = (struct write){
            .store = store, .call = call, .finish = finish_in_many, .many = many
        };
        many->failures[i] = NULL;
    }
    return many;
}

void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count)
{
    struct many *many = many_new(call, self, count);
    for (size_t i = 0; i < count; i++)
        start_set(&many->writes[i], &sets[i]);
    many->started = true;
    many_reply(many);
}

void
state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                  size_t count)
{
    struct many *many = many_new(call, self, count);
    for (size_t i = 0; i < count; i++)
        start_delete(&many->writes[i], &dels[i]);
    many->started = true;
    many_reply(many);
}

/* --- all or nothing ----------------------------------------------------------------------------*/

enum { OPERATION_ARGS = 5 };

static const struct remora_failure *
judge_transaction(struct write *write, int64_t answer)
{
    if (answer == 0)
        return NULL;
    uint64_t which = answer < 0 ? 0 - (uint64_t)answer : (uint64_t)answer;
    if (which > (write->count - 3) / (OPERATION_ARGS + 1))
        return failure_new(write->call, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                           "redis answered a script with something else");
    const struct remora_state_operation *op = &write->ops[which - 1];
    struct remora_slice key = op->is_delete ? op->del.key : op->set.key;
    if (answer < 0)
        return bad_version(write->call, key);
    return with_reason(op->is_delete
                           ? failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                         DELETE_CONFLICT, shown(key), key.data)
                           : failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                         SET_CONFLICT, shown(key), key.data),
                       REMORA_REASON_ETAG_MISMATCH);
}

static struct remora_failure *
put_set(struct write *write, const struct remora_state_set *set, struct remora_slice *args)
{
    struct set_terms terms = { .expected = remora_call_alloc(write->call, NUMBER_BYTES),
                               .expiry = remora_call_alloc(write->call, NUMBER_BYTES) };
    struct remora_failure *failure = read_terms(write->store, write->call, set, &terms);
    if (failure != NULL)
        return failure;
    bool is_document = write->wants_documents ||
                       store_wants_document(write->store, set->metadata, set->metadata_count);
    args[0] = text(is_document ? "doc" : "set");
    args[1] = text(terms.expected);
    args[2] = set->value;
    args[3] = text(terms.first);
    args[4] = text(terms.expiry);
    return NULL;
}

static void
put_delete(const struct remora_state_delete *del, struct remora_slice *args)
{
    args[0] = text("del");
    args[1] = has_etag(del->has_etag, del->etag) ? del->etag : text("0");
    args[2] = args[3] = args[4] = text("");
}

static struct remora_failure *
put_operations(struct write *write, size_t count)
{
    struct remora_slice *keys = write->args + 3, *args = keys + count;
    const bool is_strong = write->store->replicas > 0;
    for (size_t i = 0; i < count; i++, args += OPERATION_ARGS) {
        const struct remora_state_operation *op = &write->ops[i];
        struct remora_failure *failure = NULL;
        keys[i] = op->is_delete ? op->del.key : op->set.key;
        if (op->is_delete)
            put_delete(&op->del, args);
        else
            failure = put_set(write, &op->set, args);
        if (failure != NULL)
            return failure;
        enum remora_consistency wanted = op->is_delete ? op->del.consistency : op->set.consistency;
        write->strong = write->strong || (is_strong && wanted == REMORA_STRONG);
    }
    return NULL;
}

void
state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    if (count == 0) {
        remora_reply_ok(call);
        return;
    }
    struct write *write = write_new(call, self);
    write->ops = ops;
    write->script = write->store->has_json ? &script_documents : &script_transact;
    write->wants_documents = store_wants_document(write->store, metadata, metadata_count);
    write->judge = judge_transaction;
    write->count = 3 + count * (1 + OPERATION_ARGS);
    write->args = remora_call_alloc(call, write->count * sizeof write->args[0]);
    char *number = remora_call_alloc(call, NUMBER_BYTES);
    snprintf(number, NUMBER_BYTES, "%zu", count);
    write->args[0] = text("EVALSHA");
    write->args[1] = text(write->script->sha);
    write->args[2] = text(number);
    struct remora_failure *failure = put_operations(write, count);
    if (failure != NULL)
        finish_one(write, failure);
    else
        send_write(write);
}
