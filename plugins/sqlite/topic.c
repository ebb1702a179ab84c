/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL is in connection.c. A statement takes its integers and its texts in the order of its
 * parameters, so that each use of one is a line.
 */
#include "topic.h"

#include <stdlib.h>
#include <string.h>

#include "timestamp.h"

enum { REDELIVER_MAX_MS = 60 * 1000, OWNERS_GONE_MAX = 16 };

static const int64_t NO_LEASE_MS = INT64_C(1) << 52;

static struct failure *
failed(struct connection *connection, int rc)
{
    return failure_from_sqlite(connection->db, rc, STAGE_STATEMENT, "pub/sub");
}

static struct failure *
find(struct connection *connection, const struct topic_rules *rules, enum statement which,
     sqlite3_stmt **ret)
{
    int rc = connection_statement(connection, rules->table, which, ret);
    return rc == SQLITE_OK ? NULL : failed(connection, rc);
}

static void
release(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* Runs a bound statement that gives no rows. */
static struct failure *
finish(struct connection *connection, sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    struct failure *failure = rc == SQLITE_DONE ? NULL : failed(connection, rc);
    release(statement);
    return failure;
}

/* Runs a statement whose parameters are all integers. */
static struct failure *
run(struct connection *connection, const struct topic_rules *rules, enum statement which,
    const int64_t *values, int count)
{
    sqlite3_stmt *statement;
    struct failure *failure = find(connection, rules, which, &statement);
    if (failure != NULL)
        return failure;
    for (int i = 0; i < count; i++)
        sqlite3_bind_int64(statement, i + 1, values[i]);
    return finish(connection, statement);
}

#define RUN(connection, rules, which, ...)                                                         \
    run(connection, rules, which, (const int64_t[]){ __VA_ARGS__ },                                \
        (int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)))

/* Runs a statement for the one integer it gives; *ret stays if it gives none. */
static struct failure *
fetch(struct connection *connection, sqlite3_stmt *statement, int64_t *ret)
{
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    struct failure *failure = rc == SQLITE_ROW || rc == SQLITE_DONE ? NULL : failed(connection, rc);
    release(statement);
    return failure;
}

/* --- publishing --------------------------------------------------------------------------------*/

static void
bind_slice(sqlite3_stmt *statement, int at, struct remora_slice text)
{
    sqlite3_bind_text64(statement, at, text.data != NULL ? text.data : "", text.len, SQLITE_STATIC,
                        SQLITE_UTF8);
}

/* Names and values, each with a NUL behind it. free() it; NULL if memory is out. */
static char *
pack_metadata(const struct remora_publish *message, size_t *ret_len)
{
    size_t bytes = 1;
    for (size_t i = 0; i < message->metadata_count; i++)
        bytes += message->metadata[i].name.len + message->metadata[i].value.len + 2;
    char *packed = calloc(1, bytes), *at = packed;
    for (size_t i = 0; packed != NULL && i < message->metadata_count; i++) {
        struct remora_slice name = message->metadata[i].name, value = message->metadata[i].value;
        if (name.len == 0 || memchr(name.data, '\0', name.len) != NULL ||
            (value.len > 0 && memchr(value.data, '\0', value.len) != NULL))
            continue;
        memcpy(at, name.data, name.len);
        at += name.len + 1;
        if (value.len > 0)
            memcpy(at, value.data, value.len);
        at += value.len + 1;
    }
    *ret_len = packed != NULL ? (size_t)(at - packed) : 0;
    return packed;
}

/* 0: never. */
static int64_t
expires_after_ms(const struct topic_rules *rules, const struct remora_publish *message)
{
    int64_t ms = rules->age_max_ms;
    if (!message->has_ttl || message->ttl_seconds <= 0 ||
        message->ttl_seconds >= NO_LEASE_MS / 1000)
        return ms;
    return ms == 0 || message->ttl_seconds * 1000 < ms ? message->ttl_seconds * 1000 : ms;
}

struct failure *
topic_publish(struct connection *connection, const struct topic_rules *rules,
              const struct remora_publish *message)
{
    sqlite3_stmt *statement;
    struct failure *failure = find(connection, rules, STATEMENT_PUBLISH, &statement);
    if (failure != NULL)
        return failure;
    int64_t now_ms = timestamp_now_unix_ms();
    int64_t ttl_ms = expires_after_ms(rules, message);
    bind_slice(statement, 1, message->topic);
    bind_slice(statement, 2, message->content_type);
    sqlite3_bind_blob64(statement, 3, message->data.len > 0 ? message->data.data : "",
                        message->data.len, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, now_ms);
    if (ttl_ms > 0)
        sqlite3_bind_int64(statement, 5, now_ms + ttl_ms);
    sqlite3_bind_int64(statement, 6, now_ms + rules->retention_ms);
    size_t len;
    char *metadata = pack_metadata(message, &len);
    sqlite3_bind_blob64(statement, 7, metadata != NULL ? metadata : "", len, SQLITE_STATIC);
    failure = metadata == NULL
                  ? failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED, "out of memory")
                  : finish(connection, statement);
    if (metadata == NULL)
        release(statement);
    free(metadata);
    return failure;
}

/* --- groups ------------------------------------------------------------------------------------*/

struct failure *
topic_join(struct connection *connection, const struct topic_rules *rules,
           struct topic_group *group)
{
    sqlite3_stmt *statement;
    struct failure *failure = find(connection, rules, STATEMENT_GROUP_ADD, &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_text(statement, 1, group->topic, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, group->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 3, group->from_start);
    failure = finish(connection, statement);
    if (failure == NULL)
        failure = find(connection, rules, STATEMENT_GROUP_FIND, &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_text(statement, 1, group->topic, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, group->name, -1, SQLITE_STATIC);
    return fetch(connection, statement, &group->id);
}

/* --- settling ----------------------------------------------------------------------------------*/

static int64_t
redeliver_after_ms(const struct topic_rules *rules, int64_t attempts)
{
    int64_t ms = rules->redeliver_ms;
    for (int64_t i = 0; i < attempts && ms < REDELIVER_MAX_MS; i++)
        ms *= 2;
    int64_t max_ms = rules->redeliver_ms > REDELIVER_MAX_MS ? rules->redeliver_ms
                                                            : REDELIVER_MAX_MS;
    return ms < max_ms ? ms : max_ms;
}

/* One message (id != 0), or all of the topic, unless a group still waits for it. */
static struct failure *
forget(struct connection *connection, const struct claim_wish *wish, int64_t id)
{
    sqlite3_stmt *statement;
    enum statement which = id != 0 ? STATEMENT_MESSAGE_FORGET : STATEMENT_MESSAGES_FORGET;
    struct failure *failure = find(connection, wish->rules, which, &statement);
    if (failure != NULL)
        return failure;
    if (id != 0)
        sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_text(statement, 2, wish->group->topic, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, timestamp_now_unix_ms() - wish->rules->retention_ms);
    return finish(connection, statement);
}

static struct failure *
settle(struct connection *connection, const struct claim_wish *wish, const struct settled *settled)
{
    int64_t group = wish->group->id, owner = wish->owner->number;
    bool retry = settled->how == SETTLE_RETRY;
    if (settled->how != SETTLE_DONE)
        return RUN(connection, wish->rules, STATEMENT_CLAIM_POSTPONE, group, settled->id, owner,
                   settled->attempts, settled->attempts + retry,
                   timestamp_now_unix_ms() +
                       (retry ? redeliver_after_ms(wish->rules, settled->attempts) : 0));
    struct failure *failure = RUN(connection, wish->rules, STATEMENT_CLAIM_DONE, group,
                                  settled->id);
    return failure != NULL ? failure : forget(connection, wish, settled->id);
}

/* --- claiming ----------------------------------------------------------------------------------*/

void
topic_claimed_fini(struct claimed *claimed)
{
    for (struct letter *letter = claimed->letters, *next; letter != NULL; letter = next) {
        next = letter->next;
        free(letter);
    }
    *claimed = (struct claimed){ .letters = NULL };
}

static struct remora_slice
copy_column(sqlite3_stmt *statement, int column, char **at)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);
    struct remora_slice copy = { *at, len };
    if (len > 0)
        memcpy(*at, bytes, len);
    *at += len;
    return copy;
}

/* The next text of packed metadata; false at its end, or where it is none. */
static bool
next_text(struct remora_slice *packed, struct remora_slice *ret)
{
    const char *end = packed->len > 0 ? memchr(packed->data, '\0', packed->len) : NULL;
    if (end == NULL)
        return false;
    *ret = (struct remora_slice){ packed->data, (size_t)(end - packed->data) };
    *packed = (struct remora_slice){ end + 1, packed->len - ret->len - 1 };
    return true;
}

/* With `pairs` NULL they are only counted. */
static size_t
unpack_metadata(struct remora_slice packed, struct remora_pair *pairs)
{
    struct remora_pair pair;
    size_t count = 0;
    while (next_text(&packed, &pair.name) && next_text(&packed, &pair.value)) {
        if (pairs != NULL)
            pairs[count] = pair;
        count++;
    }
    return count;
}

static struct letter *
read_letter(sqlite3_stmt *statement)
{
    const struct remora_slice packed = { sqlite3_column_blob(statement, 5),
                                         (size_t)sqlite3_column_bytes(statement, 5) };
    size_t count = unpack_metadata(packed, NULL);
    size_t bytes = (size_t)sqlite3_column_bytes(statement, 2) +
                   (size_t)sqlite3_column_bytes(statement, 3) + packed.len;
    struct letter *letter = malloc(sizeof(*letter) + count * sizeof(letter->metadata[0]) + bytes);
    if (letter == NULL)
        return NULL;
    struct remora_pair *pairs = (struct remora_pair *)(letter + 1);
    char *at = (char *)(pairs + count);
    *letter = (struct letter){ .id = sqlite3_column_int64(statement, 0),
                               .attempts = sqlite3_column_int64(statement, 1),
                               .metadata = pairs,
                               .metadata_count = count };
    unpack_metadata(copy_column(statement, 5, &at), pairs);
    letter->content_type = copy_column(statement, 2, &at);
    letter->data = copy_column(statement, 3, &at);
    return letter;
}

/* What the rows of a statement become. */
struct claiming {
    struct connection *connection;
    const struct claim_wish *wish;
    struct claimed *claimed;
    struct letter **tail;
    int64_t now_ms;
    int64_t last_id; /* of the messages looked at */
};

static bool
has_room(const struct claiming *claiming, size_t bytes)
{
    const struct claimed *claimed = claiming->claimed;
    return claimed->count < claiming->wish->messages_max &&
           (claimed->count == 0 || claimed->bytes + bytes <= claiming->wish->bytes_max);
}

/* The row has no message, or one that nobody wants any more. */
static bool
is_void(const struct claiming *claiming, sqlite3_stmt *statement)
{
    return sqlite3_column_type(statement, 3) == SQLITE_NULL ||
           (sqlite3_column_type(statement, 4) != SQLITE_NULL &&
            sqlite3_column_int64(statement, 4) <= claiming->now_ms);
}

static int64_t
lease_ms(const struct topic_rules *rules)
{
    return rules->lease_ms > 0 ? rules->lease_ms : NO_LEASE_MS;
}

static struct failure *
take_row(struct claiming *claiming, sqlite3_stmt *statement, bool is_new)
{
    const struct claim_wish *wish = claiming->wish;
    int64_t id = sqlite3_column_int64(statement, 0);
    claiming->last_id = id;
    if (is_void(claiming, statement))
        return is_new ? NULL
                      : RUN(claiming->connection, wish->rules, STATEMENT_CLAIM_DONE,
                            wish->group->id, id);
    struct letter *letter = read_letter(statement);
    if (letter == NULL)
        return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED, "out of memory");
    *claiming->tail = letter;
    claiming->tail = &letter->next;
    claiming->claimed->count++;
    claiming->claimed->bytes += letter->data.len;
    return RUN(claiming->connection, wish->rules, STATEMENT_CLAIM_PUT, wish->group->id, id,
               wish->owner->number, letter->attempts, claiming->now_ms + lease_ms(wish->rules));
}

/* The rows are read while their claims change: those that have been read are no longer due, and a
 * claim is never due earlier than now, so that none is met twice. */
static struct failure *
take_rows(struct claiming *claiming, sqlite3_stmt *statement, bool is_new)
{
    struct failure *failure = NULL;
    int rc = SQLITE_ROW;
    while (failure == NULL && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!has_room(claiming, (size_t)sqlite3_column_bytes(statement, 3))) {
            claiming->claimed->is_partial = true;
            break;
        }
        failure = take_row(claiming, statement, is_new);
    }
    if (failure == NULL && rc != SQLITE_ROW && rc != SQLITE_DONE)
        failure = failed(claiming->connection, rc);
    release(statement);
    return failure;
}

/* What the own application has had for too long is given to another process first, and to itself
 * again after a second lease. */
static struct failure *
claim_due(struct claiming *claiming)
{
    sqlite3_stmt *statement;
    const struct claim_wish *wish = claiming->wish;
    struct failure *failure = find(claiming->connection, wish->rules, STATEMENT_CLAIMS_DUE,
                                   &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_int64(statement, 1, wish->group->id);
    sqlite3_bind_int64(statement, 2, claiming->now_ms);
    sqlite3_bind_int64(statement, 3, (int64_t)wish->messages_max + 1);
    sqlite3_bind_int64(statement, 4, wish->owner->number);
    sqlite3_bind_int64(statement, 5, claiming->now_ms - lease_ms(wish->rules));
    return take_rows(claiming, statement, false);
}

static struct failure *
claim_new(struct claiming *claiming)
{
    sqlite3_stmt *statement;
    const struct claim_wish *wish = claiming->wish;
    struct failure *failure = find(claiming->connection, wish->rules, STATEMENT_MESSAGES_NEW,
                                   &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_text(statement, 1, wish->group->topic, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, wish->group->id);
    sqlite3_bind_int64(statement, 3, (int64_t)wish->messages_max + 1);
    claiming->last_id = 0;
    failure = take_rows(claiming, statement, true);
    if (failure != NULL || claiming->last_id == 0)
        return failure;
    return RUN(claiming->connection, wish->rules, STATEMENT_GROUP_MOVE, wish->group->id,
               claiming->last_id);
}

static struct failure *
find_next_due(struct connection *connection, const struct claim_wish *wish, int64_t *ret_ms)
{
    sqlite3_stmt *statement;
    struct failure *failure = find(connection, wish->rules, STATEMENT_CLAIMS_NEXT, &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_int64(statement, 1, wish->group->id);
    sqlite3_bind_int64(statement, 2, wish->owner->number);
    sqlite3_bind_int64(statement, 3, lease_ms(wish->rules));
    return fetch(connection, statement, ret_ms);
}

/* --- cleaning ----------------------------------------------------------------------------------*/

static struct failure *
release_claims_of_the_gone(struct connection *connection, const struct claim_wish *wish)
{
    int64_t gone[OWNERS_GONE_MAX];
    size_t count = 0;
    sqlite3_stmt *statement;
    struct failure *failure = find(connection, wish->rules, STATEMENT_CLAIMS_OWNERS, &statement);
    if (failure != NULL)
        return failure;
    sqlite3_bind_int64(statement, 1, wish->group->id);
    sqlite3_bind_int64(statement, 2, wish->owner->number);
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && count < OWNERS_GONE_MAX) {
        gone[count] = sqlite3_column_int64(statement, 0);
        count += owner_is_gone(wish->owner, gone[count]);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        failure = failed(connection, rc);
    release(statement);
    for (size_t i = 0; failure == NULL && i < count; i++)
        failure = RUN(connection, wish->rules, STATEMENT_CLAIMS_RELEASE, wish->group->id, gone[i],
                      timestamp_now_unix_ms());
    return failure;
}

struct failure *
topic_expire(struct connection *connection, const struct topic_rules *rules)
{
    return RUN(connection, rules, STATEMENT_MESSAGES_EXPIRE, timestamp_now_unix_ms(),
               EXPIRE_BATCH_ROWS);
}

static struct failure *
clean(struct connection *connection, const struct claim_wish *wish)
{
    struct failure *failure = release_claims_of_the_gone(connection, wish);
    if (failure == NULL)
        failure = topic_expire(connection, wish->rules);
    if (failure == NULL)
        failure = forget(connection, wish, 0);
    return failure;
}

struct failure *
topic_exchange(struct connection *connection, const struct claim_wish *wish,
               struct claimed *ret_claimed)
{
    struct failure *failure = NULL;
    for (const struct settled *one = wish->settled; failure == NULL && one != NULL; one = one->next)
        failure = settle(connection, wish, one);
    if (failure == NULL && wish->clean)
        failure = clean(connection, wish);
    struct claiming claiming = { .connection = connection,
                                 .wish = wish,
                                 .claimed = ret_claimed,
                                 .tail = &ret_claimed->letters,
                                 .now_ms = timestamp_now_unix_ms() };
    if (failure == NULL && wish->messages_max > 0)
        failure = claim_due(&claiming);
    if (failure == NULL && wish->messages_max > ret_claimed->count && !ret_claimed->is_partial)
        failure = claim_new(&claiming);
    if (failure == NULL)
        failure = find_next_due(connection, wish, &ret_claimed->next_due_ms);
    return failure;
}
