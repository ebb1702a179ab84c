/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and deleting, alone and many at once. Every write is one command to the server, mostly a
 * script (scripts.h), so that it happens whole or not at all.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "state_write.h"

#define MISMATCH "possible etag mismatch. error from state store: "

static void
action_prefix(const struct write *write, char prefix[WRITE_PREFIX_BYTES])
{
    prefix[0] = '\0';
    if (write->action != NULL)
        snprintf(prefix, WRITE_PREFIX_BYTES, "%s%.*s: ", write->action, write_shown(write->key),
                 write->key.data);
}

/* --- one command -------------------------------------------------------------------------------*/

static void on_written(const struct conn_result *result, void *arg);

void
write_send(struct write *write)
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
    char prefix[WRITE_PREFIX_BYTES];
    if (value != NULL && write->script != NULL && resp_is_error(value, "NOSCRIPT")) {
        write->args[0] = write_text("EVAL");
        write->args[1] = write_text(write->script->text);
        write_send(write);
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
    write_settle(write, failure, result->conn);
}

struct remora_failure *
write_bad_version(remora_call *call, struct remora_slice key)
{
    return failure_new(call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                       "failed to set key %.*s: ERR hash value is not an integer", write_shown(key),
                       key.data);
}

static const struct remora_failure *
judge_set(struct write *write, int64_t answer)
{
    int len = write_shown(write->key);
    const char *key = write->key.data;
    if (answer == SCRIPT_DONE)
        return NULL;
    if (answer == SCRIPT_BAD_VERSION || answer < 0) /* the latter from script_documents */
        return write_bad_version(write->call, write->key);
    struct remora_failure *failure =
        write->has_etag
            ? failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                          MISMATCH WRITE_SET_CONFLICT, len, key)
            : failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                          "failed to set key %.*s: " WRITE_SET_CONFLICT, len, key, len, key);
    return write_with_reason(failure, REMORA_REASON_ETAG_MISMATCH);
}

static const struct remora_failure *
judge_delete(struct write *write, int64_t answer)
{
    if (answer == SCRIPT_DONE)
        return NULL;
    return write_with_reason(failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                         MISMATCH WRITE_DELETE_CONFLICT, write_shown(write->key),
                                         write->key.data),
                             REMORA_REASON_ETAG_MISMATCH);
}

/* --- what a save asks for ----------------------------------------------------------------------*/

/* The ETag is a number, unless the last write is to win, which needs none. */
static struct remora_failure *
read_etag(remora_call *call, const struct remora_state_set *set, char *ret_expected)
{
    char why[SETTINGS_WHY_BYTES];
    int64_t version = 0;
    if (set->concurrency != REMORA_LAST_WRITE && set->has_etag && set->etag.len > 0 &&
        !parse_int(set->etag, "Atoi", &version, why))
        return write_with_reason(failure_new(call, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                                             "invalid etag value: %s", why),
                                 REMORA_REASON_ETAG_INVALID);
    snprintf(ret_expected, WRITE_NUMBER_BYTES, "%" PRId64, version);
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
            write_shown(set->key), set->key.data);
    if (!has_ttl)
        snprintf(ret_expiry, WRITE_NUMBER_BYTES, "keep");
    else if (ttl <= 0)
        snprintf(ret_expiry, WRITE_NUMBER_BYTES, "clear");
    else
        snprintf(ret_expiry, WRITE_NUMBER_BYTES, "%" PRId64, ttl);
    return NULL;
}

struct remora_failure *
write_read_terms(const struct store *store, remora_call *call, const struct remora_state_set *set,
                 struct write_terms *terms)
{
    struct remora_failure *failure = read_etag(call, set, terms->expected);
    if (failure == NULL)
        failure = read_expiry(store, call, set, terms->expiry);
    terms->first = set->concurrency == REMORA_FIRST_WRITE ? "0" : "1";
    return failure;
}

bool
write_is_strong(const struct write *write, enum remora_consistency wanted)
{
    return wanted == REMORA_STRONG && link_may_replicate(write->store->link);
}

static void
start_set(struct write *write, const struct remora_state_set *set)
{
    struct write_terms terms = { .expected = write->expected, .expiry = write->expiry };
    write->key = set->key;
    write->action = "failed to set key ";
    write->has_etag = write_has_etag(set->has_etag, set->etag);
    write->strong = write_is_strong(write, set->consistency);
    const bool is_document = store_wants_document(write->store, set->metadata, set->metadata_count);
    write->script = is_document ? &script_documents : &script_set;
    write->judge = judge_set;
    struct remora_failure *failure = write_read_terms(write->store, write->call, set, &terms);
    if (failure != NULL) {
        write->finish(write, failure);
        return;
    }
    struct remora_slice *args = write->args = write->own_args;
    *args++ = write_text("EVALSHA");
    *args++ = write_text(write->script->sha);
    *args++ = write_text("1");
    *args++ = set->key;
    if (is_document)
        *args++ = write_text("doc");
    *args++ = write_text(write->expected);
    *args++ = set->value;
    *args++ = write_text(terms.first);
    *args++ = write_text(write->expiry);
    write->count = (size_t)(args - write->own_args);
    write_send(write);
}

static void
start_delete(struct write *write, const struct remora_state_delete *del)
{
    write->key = del->key;
    write->has_etag = write_has_etag(del->has_etag, del->etag);
    write->strong = write_is_strong(write, del->consistency);
    write->args = write->own_args;
    if (!write->has_etag) {
        write->args[0] = write_text("DEL");
        write->args[1] = del->key;
        write->count = 2;
    } else if (write->store->has_json) { /* the version may be a document's */
        write->script = &script_documents;
        write->args[4] = write_text("del");
        write->args[5] = del->etag;
        write->args[6] = write->args[7] = write->args[8] = write_text("");
        write->count = 9;
    } else {
        write->script = &script_del;
        write->args[4] = del->etag;
        write->count = 5;
    }
    if (write->script != NULL) {
        write->judge = judge_delete;
        write->args[0] = write_text("EVALSHA");
        write->args[1] = write_text(write->script->sha);
        write->args[2] = write_text("1");
        write->args[3] = del->key;
    }
    write_send(write);
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

struct write *
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
