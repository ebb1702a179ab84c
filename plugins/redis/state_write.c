/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and deleting, alone, many at once, and as a transaction. Every write is one command to the
 * server, mostly a script (scripts.h), so that it happens whole or not at all.
 */
#include "store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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
    struct remora_slice key; /* of a transaction the first one: all are in its slot */
    const char *action;      /* "failed to set key ", or NULL: errors are told as they come */
    bool has_etag, strong, wants_documents;
    finish_fn *finish;  /* failure NULL: done */
    struct many *many;  /* or NULL */
    struct write *next; /* of those that wait for replicas, or of the parts before they go */
    const struct remora_state_operation *ops; /* of a transaction */
    struct parts *parts;                      /* of a transaction over several slots; or NULL */
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

/* Strong writes that a server has done and whose replicas are waited for, on the connection that
 * carried them: those the running WAIT covers, and those that came later. */
struct waiters {
    struct waiters *next;
    struct store *store;
    struct conn *conn;
    unsigned replicas;
    struct write *now, *later;
};

static void on_wait(const struct conn_result *result, void *arg);

static void
finish_waiting(struct waiters *waiters, const struct conn_result *result)
{
    struct write *write = waiters->now;
    waiters->now = NULL;
    for (struct write *next; write != NULL; write = next) {
        char prefix[PREFIX_BYTES];
        next = write->next;
        snprintf(prefix, sizeof prefix,
                 "redis waiting for %u replicas to acknowledge write, err: ", waiters->replicas);
        struct remora_failure *failure = failure_of(waiters->store, write->call, result, true,
                                                    prefix);
        if (failure != NULL)
            failure->effect = REMORA_EFFECT_UNKNOWN; /* it is written, only not acknowledged */
        write->finish(write, failure);
    }
}

static void
forget_waiters(struct waiters *waiters)
{
    struct waiters **at = &waiters->store->waiters;
    while (*at != waiters)
        at = &(*at)->next;
    *at = waiters->next;
    free(waiters);
}

void
state_forget_waiters(struct store *store)
{
    while (store->waiters != NULL)
        forget_waiters(store->waiters);
}

/* One WAIT at a time: it covers all writes before it, so those that come meanwhile share the next.
 */
static void
wait_for_replicas(struct waiters *waiters)
{
    char replicas[NUMBER_BYTES], timeout[NUMBER_BYTES];
    while (waiters->now == NULL && waiters->later != NULL) {
        waiters->now = waiters->later;
        waiters->later = NULL;
        snprintf(replicas, sizeof replicas, "%u", waiters->replicas);
        snprintf(timeout, sizeof timeout, "%d", STORE_WAIT_MS);
        struct remora_slice args[3] = { text("WAIT"), text(replicas), text(timeout) };
        if (!link_command_over(waiters->store->link, waiters->conn, args, 3, on_wait, waiters))
            finish_waiting(waiters, &(struct conn_result){ .why = "the connection is lost" });
    }
    if (waiters->now == NULL)
        forget_waiters(waiters);
}

static void
on_wait(const struct conn_result *result, void *arg)
{
    finish_waiting(arg, result);
    wait_for_replicas(arg);
}

static struct waiters *
waiters_on(struct store *store, struct conn *conn)
{
    for (struct waiters *one = store->waiters; one != NULL; one = one->next)
        if (one->conn == conn)
            return one;
    struct waiters *waiters = calloc(1, sizeof *waiters);
    if (waiters == NULL)
        abort();
    *waiters = (struct waiters){ .next = store->waiters, .store = store, .conn = conn };
    return store->waiters = waiters;
}

static void
settle(struct write *write, const struct remora_failure *failure, struct conn *conn)
{
    struct store *store = write->store;
    unsigned replicas = failure != NULL || !write->strong ? 0 : link_replicas(store->link, conn);
    if (replicas == 0) {
        write->finish(write, failure);
        return;
    }
    struct waiters *waiters = waiters_on(store, conn);
    waiters->replicas = replicas;
    write->next = waiters->later;
    waiters->later = write;
    wait_for_replicas(waiters);
}

/* --- one command -------------------------------------------------------------------------------*/

static void on_written(const struct conn_result *result, void *arg);

static void
send_write(struct write *write)
{
    struct link *link = write->store->link;
    if (!link_command(link, write->strong ? LINK_WAITING : LINK_MAIN, link_slot(link, write->key),
                      write->args, write->count, store_wait_ms(write->call), on_written, write))
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
    settle(write, failure, result->conn);
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

static bool
is_strong(const struct write *write, enum remora_consistency wanted)
{
    return wanted == REMORA_STRONG && link_may_replicate(write->store->link);
}

static void
start_set(struct write *write, const struct remora_state_set *set)
{
    struct set_terms terms = { .expected = write->expected, .expiry = write->expiry };
    write->key = set->key;
    write->action = "failed to set key ";
    write->has_etag = has_etag(set->has_etag, set->etag);
    write->strong = is_strong(write, set->consistency);
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
    write->strong = is_strong(write, del->consistency);
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
        write->strong = write->strong || is_strong(write, wanted);
    }
    return NULL;
}

/* One script, which needs all keys to be at one server. */
static struct remora_failure *
prepare_transaction(struct write *write, const struct remora_state_operation *ops, size_t count)
{
    write->ops = ops;
    write->key = ops[0].is_delete ? ops[0].del.key : ops[0].set.key;
    write->script = write->store->has_json ? &script_documents : &script_transact;
    write->judge = judge_transaction;
    write->count = 3 + count * (1 + OPERATION_ARGS);
    write->args = remora_call_alloc(write->call, write->count * sizeof write->args[0]);
    char *number = remora_call_alloc(write->call, NUMBER_BYTES);
    snprintf(number, NUMBER_BYTES, "%zu", count);
    write->args[0] = text("EVALSHA");
    write->args[1] = text(write->script->sha);
    write->args[2] = text(number);
    return put_operations(write, count);
}

/* --- all or nothing, for each slot of a cluster ------------------------------------------------*/

struct placed {
    int slot;
    size_t index; /* of the operation */
};

/* A transaction whose keys are in several slots: a server does a part whole or not at all, and
 * knows nothing of the others. */
struct parts {
    remora_call *call;
    size_t left, done;
    const struct remora_failure *failure; /* of one that failed */
    enum remora_effect effect;            /* the worst of those that failed */
};

static enum remora_effect
worse(enum remora_effect one, enum remora_effect other)
{
    if (one == REMORA_EFFECT_UNKNOWN || other == REMORA_EFFECT_UNKNOWN)
        return REMORA_EFFECT_UNKNOWN;
    return one == REMORA_EFFECT_NOT_SENT ? other : one;
}

static void
parts_reply(const struct parts *parts)
{
    const struct remora_failure *one = parts->failure;
    if (one == NULL) {
        remora_reply_ok(parts->call);
        return;
    }
    struct remora_failure *failure = failure_new(
        parts->call, one->code, parts->done > 0 ? REMORA_EFFECT_UNKNOWN : parts->effect, "%s%s",
        one->message,
        parts->done > 0 ? " (what the transaction does in other slots of the cluster is done)"
                        : "");
    remora_reply_failure(parts->call, with_reason(failure, one->reason));
}

static void
finish_part(struct write *write, const struct remora_failure *failure)
{
    struct parts *parts = write->parts;
    if (failure == NULL) {
        parts->done++;
    } else {
        parts->effect = parts->failure == NULL ? failure->effect
                                               : worse(parts->effect, failure->effect);
        parts->failure = parts->failure == NULL ? failure : parts->failure;
    }
    if (--parts->left == 0)
        parts_reply(parts);
}

static int
compare_placed(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    if (left->slot != right->slot)
        return left->slot < right->slot ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static int
slot_of_operation(const struct store *store, const struct remora_state_operation *op)
{
    return link_slot(store->link, op->is_delete ? op->del.key : op->set.key);
}

/* The operations of one slot after those of another; as they are if there is one slot. */
static const struct remora_state_operation *
sort_by_slot(remora_call *call, const struct store *store, const struct remora_state_operation *ops,
             size_t count)
{
    size_t same = 1;
    while (same < count && slot_of_operation(store, &ops[same]) == slot_of_operation(store, ops))
        same++;
    if (same == count)
        return ops;
    struct placed *placed = remora_call_alloc(call, count * sizeof *placed);
    struct remora_state_operation *sorted = remora_call_alloc(call, count * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        placed[i] = (struct placed){ slot_of_operation(store, &ops[i]), i };
    qsort(placed, count, sizeof *placed, compare_placed);
    for (size_t i = 0; i < count; i++)
        sorted[i] = ops[placed[i].index];
    return sorted;
}

void
state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    if (count == 0) {
        remora_reply_ok(call);
        return;
    }
    struct store *store = self;
    const struct remora_state_operation *sorted = sort_by_slot(call, store, ops, count);
    struct parts *parts = remora_call_alloc(call, sizeof *parts);
    struct write *writes = NULL;
    *parts = (struct parts){ .call = call };
    for (size_t i = 0, next; i < count; i = next) {
        int slot = slot_of_operation(store, &sorted[i]);
        for (next = i + 1; next < count && slot_of_operation(store, &sorted[next]) == slot; next++)
            ;
        struct write *write = write_new(call, store);
        write->wants_documents = store_wants_document(store, metadata, metadata_count);
        write->finish = finish_part;
        write->parts = parts;
        write->next = writes;
        writes = write;
        parts->left++;
        struct remora_failure *failure = prepare_transaction(write, sorted + i, next - i);
        if (failure != NULL) { /* nothing has been sent */
            remora_reply_failure(call, failure);
            return;
        }
    }
    for (struct write *write = writes, *next; write != NULL; write = next) {
        next = write->next; /* the last one's end is that of all */
        send_write(write);
    }
}
