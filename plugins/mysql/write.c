/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing. Several operations are one transaction, whether or not they are meant as a whole: one
 * sync to the disk serves them all, and a statement that fails undoes itself only. Neighbours
 * without conditions become one statement.
 *
 * What a lost connection has left behind is known as long as no commit was sent: nothing. Then, and
 * after a deadlock, everything is done again.
 */
#include "write.h"

#include <stdio.h>
#include <time.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"

/* --- conditions --------------------------------------------------------------------------------*/

/* An empty etag counts as none, as in the reference. */
static bool
wants_etag(const struct operation *operation)
{
    return operation->set != NULL ? operation->set->has_etag && operation->set->etag.len > 0
                                  : operation->del->has_etag && operation->del->etag.len > 0;
}

static bool
wants_absence(const struct operation *operation)
{
    return operation->set != NULL && !wants_etag(operation) &&
           operation->set->concurrency == REMORA_FIRST_WRITE;
}

/* NULL, or what is wrong with the time to live, in the reference's words. The kernel has read it if
 * it is a number; what is in the metadata only is none. */
static struct failure *
check_ttl(const struct remora_state_set *set)
{
    struct remora_slice text;
    if (set->has_ttl && set->ttl_seconds < -1)
        return failure_new(REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                           "error parsing TTL: incorrect value for metadata 'ttlInSeconds': must "
                           "be -1 or greater");
    if (set->has_ttl ||
        !remora_metadata_get(set->metadata, set->metadata_count, "ttlInSeconds", &text) ||
        text.len == 0)
        return NULL;
    return failure_new(REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                       "error parsing TTL: incorrect value for metadata 'ttlInSeconds': "
                       "strconv.ParseInt: parsing \"%.*s\": invalid syntax",
                       (int)(text.len < 64 ? text.len : 64), text.data);
}

static bool
has_good_ttl(const struct operation *operation)
{
    struct failure *failure = operation->set != NULL ? check_ttl(operation->set) : NULL;
    bool is_good = failure == NULL;
    failure_free(failure);
    return is_good;
}

static bool
can_be_grouped(const struct table *table, const struct operation *operation)
{
    return table->is_exact && !wants_etag(operation) && !wants_absence(operation) &&
           !operation->as_binary && has_good_ttl(operation);
}

/* --- statements --------------------------------------------------------------------------------*/

static void
put_value(struct session *session, const struct operation *operation)
{
    const struct remora_state_set *set = operation->set;
    if (set->json && !operation->as_binary)
        text_quote(&session->text, session->db, set->value);
    else
        text_base64(&session->text, set->value);
}

static void
put_expiry(struct text *text, const struct remora_state_set *set)
{
    if (set->has_ttl && set->ttl_seconds > 0)
        text_add(text, "CURRENT_TIMESTAMP + INTERVAL %lld SECOND", (long long)set->ttl_seconds);
    else
        text_put(text, "NULL");
}

static bool
is_stored_as_binary(const struct operation *operation)
{
    return !operation->set->json || operation->as_binary;
}

static void
put_row(struct session *session, const struct operation *operation)
{
    struct text *text = &session->text;
    text_put(text, "(");
    text_quote(text, session->db, operation->set->key);
    text_put(text, ",");
    put_value(session, operation);
    text_add(text, ",'%s',%d,", operation->etag, is_stored_as_binary(operation));
    put_expiry(text, operation->set);
    text_put(text, ")");
}

/* `operation` where the row is there already: whatever is there is replaced, or only what has
 * expired, or only under exactly this key. Assignments happen in their order, so that the columns
 * of the condition come last. */
static void
put_on_duplicate(struct text *text, const struct table *table, bool if_absent)
{
    static const char *const columns[] = { "value", "eTag", "isbinary", "expiredate" };
    text_put(text, " ON DUPLICATE KEY UPDATE ");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        const char *name = columns[i];
        text_add(text, "%s%s = ", i > 0 ? ", " : "", name);
        if (table->is_exact && !if_absent)
            text_add(text, "VALUES(%s)", name);
        else
            text_add(text, "IF(%s%s%s, VALUES(%s), %s)",
                     table->is_exact ? "" : "CAST(id AS BINARY) = CAST(VALUES(id) AS BINARY)",
                     table->is_exact || !if_absent ? "" : " AND ",
                     if_absent ? "expiredate <= CURRENT_TIMESTAMP" : "", name, name);
    }
}

static void
write_insert(struct session *session, const struct table *table, struct operation *operations,
             size_t count)
{
    struct text *text = &session->text;
    text_add(text, "INSERT INTO `%s` (id, value, eTag, isbinary, expiredate) VALUES ", table->name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_put(text, ",");
        put_row(session, &operations[i]);
    }
    put_on_duplicate(text, table, count == 1 && wants_absence(operations));
}

/* The row's key and etag as they are, not as a collation sees them; the first condition finds it.
 */
static void
put_where(struct session *session, struct remora_slice key, struct remora_slice etag)
{
    struct text *text = &session->text;
    text_put(text, " WHERE id = ");
    text_quote(text, session->db, key);
    text_put(text, " AND CAST(id AS BINARY) = CAST(");
    text_quote(text, session->db, key);
    text_put(text, " AS BINARY)");
    if (etag.len == 0)
        return;
    text_put(text, " AND CAST(eTag AS BINARY) = CAST(");
    text_quote(text, session->db, etag);
    text_put(text, " AS BINARY)");
}

static void
write_update(struct session *session, const struct table *table, const struct operation *operation)
{
    struct text *text = &session->text;
    text_add(text, "UPDATE `%s` SET value = ", table->name);
    put_value(session, operation);
    text_add(text, ", eTag = '%s', isbinary = %d, expiredate = ", operation->etag,
             is_stored_as_binary(operation));
    put_expiry(text, operation->set);
    put_where(session, operation->set->key, operation->set->etag);
    text_put(text, " AND (expiredate IS NULL OR expiredate > CURRENT_TIMESTAMP)");
}

static void
write_delete(struct session *session, const struct table *table, struct operation *operations,
             size_t count)
{
    struct text *text = &session->text;
    text_add(text, "DELETE FROM `%s`", table->name);
    if (!can_be_grouped(table, operations)) {
        bool with_etag = wants_etag(operations);
        put_where(session, operations->del->key,
                  with_etag ? operations->del->etag : (struct remora_slice){ "", 0 });
        return;
    }
    text_put(text, " WHERE id IN (");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_put(text, ",");
        text_quote(text, session->db, operations[i].del->key);
    }
    text_put(text, ")");
}

/* --- operations --------------------------------------------------------------------------------*/

static struct failure *
collision(const struct table *table)
{
    return failure_new(REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED,
                       "the table has a key that its collation '%s' takes for the same: give the "
                       "column id of '%s' one that compares bytes",
                       table->collation, table->name);
}

static struct failure *
run_statement(struct session *session, const struct table *table, struct operation *operations,
              size_t count)
{
    uint64_t changed = 0;
    text_clear(&session->text);
    if (operations->del != NULL)
        write_delete(session, table, operations, count);
    else if (wants_etag(operations))
        write_update(session, table, operations);
    else
        write_insert(session, table, operations, count);
    struct failure *failure = session_run(session, &changed);
    if (failure != NULL || changed > 0)
        return failure;
    if (wants_etag(operations) || wants_absence(operations))
        return failure_etag_mismatch();
    return operations->set != NULL ? collision(table) : NULL;
}

static struct failure *
run_one(struct session *session, const struct table *table, struct operation *operation)
{
    struct failure *failure = operation->set != NULL ? check_ttl(operation->set) : NULL;
    if (failure == NULL)
        failure = run_statement(session, table, operation, 1);
    if (!failure_is(failure, FAILURE_NOT_TAKEN) || operation->del != NULL ||
        !operation->set->json || operation->as_binary)
        return failure;
    failure_free(failure);
    operation->as_binary = true; /* a later attempt knows it */
    return run_statement(session, table, operation, 1);
}

/* How many operations from here on are one statement. */
static size_t
group_of(const struct table *table, const struct operation *operations, size_t count)
{
    size_t bytes = 0, i = 0;
    for (; i < count && i < STATEMENT_ROWS_MAX && bytes < STATEMENT_BYTES_MAX; i++) {
        const struct operation *operation = &operations[i];
        if ((operation->set != NULL) != (operations->set != NULL) ||
            !can_be_grouped(table, operation))
            break;
        bytes += operation->set != NULL ? operation->set->value.len : operation->del->key.len;
    }
    return i > 0 ? i : 1;
}

static bool
ends_transaction(const struct failure *failure)
{
    return failure_is(failure, FAILURE_LOST) || failure_is(failure, FAILURE_CONFLICT);
}

/* Returns what ends the whole; failures of single operations stay with them if they may. */
static struct failure *
run_group(struct session *session, struct write *write, struct operation *operations, size_t count)
{
    struct failure *failure = NULL;
    if (count > 1) {
        failure = run_statement(session, write->table, operations, count);
        if (failure == NULL || ends_transaction(failure))
            return failure;
        failure_free(failure); /* it is one of them: which? */
        failure = NULL;
    }
    for (size_t i = 0; i < count && failure == NULL; i++) {
        failure = run_one(session, write->table, &operations[i]);
        if (failure == NULL || write->is_atomic || ends_transaction(failure))
            continue;
        operations[i].failure = failure;
        failure = NULL;
    }
    return failure;
}

/* --- attempts ----------------------------------------------------------------------------------*/

static struct failure *
run_operations(struct session *session, struct write *write)
{
    struct failure *failure = NULL;
    for (size_t i = 0, n; i < write->count && failure == NULL; i += n) {
        n = group_of(write->table, &write->operations[i], write->count - i);
        failure = run_group(session, write, &write->operations[i], n);
    }
    return failure;
}

static struct failure *
run_transaction(struct session *session, struct write *write)
{
    struct failure *failure = session_run_words(session, "START TRANSACTION");
    if (failure == NULL)
        failure = run_operations(session, write);
    if (failure == NULL)
        return session_run_words(session, "COMMIT");
    /* It has not been committed, whatever happened to the connection. */
    if (failure->base.effect == REMORA_EFFECT_UNKNOWN)
        failure->base.effect = REMORA_EFFECT_NOT_SENT;
    if (session->db == NULL)
        return failure;
    struct failure *undone = session_run_words(session, "ROLLBACK");
    if (undone != NULL)
        session_close(session);
    failure_free(undone);
    return failure;
}

static void
forget_failures(struct write *write)
{
    for (size_t i = 0; i < write->count; i++) {
        failure_free(write->operations[i].failure);
        write->operations[i].failure = NULL;
    }
}

static bool
may_be_repeated(const struct failure *failure)
{
    return failure != NULL && ends_transaction(failure) &&
           failure->base.effect == REMORA_EFFECT_NOT_SENT;
}

/* Those who stood in each other's way shall not meet again. */
static void
pause_before(unsigned attempt, const struct write *write)
{
    unsigned spread = (unsigned)((uintptr_t)write >> 6) % 7;
    long ms = (long)(attempt < 10 ? attempt : 10) * (1 + spread);
    struct timespec pause = { .tv_nsec = ms * 1000 * 1000 };
    (void)nanosleep(&pause, NULL);
}

void
write_run(struct job *job, struct session *session)
{
    struct write *write = (struct write *)job;
    struct failure *failure = NULL;
    for (unsigned attempt = 1;; attempt++) {
        failure = write->count == 1 ? run_operations(session, write)
                                    : run_transaction(session, write);
        if (!may_be_repeated(failure) || attempt == ATTEMPTS_MAX ||
            monotonic_now_ms() >= job->deadline_ms || atomic_load(&job->is_cancelled))
            break;
        forget_failures(write);
        pause_before(attempt, write);
        struct failure *lost = session_open(session, true);
        if (lost != NULL) {
            failure_free(failure);
            failure = lost;
            break;
        }
        failure_free(failure);
    }
    if (failure != NULL)
        forget_failures(write);
    job->failure = failure;
}
