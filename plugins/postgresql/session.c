/* SPDX-License-Identifier: Apache-2.0 */
/* The thread with the connection; see session.h. */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"

enum {
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 1000,
    CHANNELS_MAX = 64,
    NOTES_MAX = 4096,
    SQL_BYTES = 1024
};

struct session {
    pthread_mutex_t lock;
    struct work *queue, **queue_tail; /* under lock */
    int wake_fd;
    atomic_bool is_over;
    struct conninfo server;
    char table[IDENTIFIER_BYTES_MAX + 1];
    const struct session_events *events;
    void *owner;
    /* The thread's own. */
    PGconn *db;
    bool was_connected, is_away;
    unsigned pause_ms;
    uint64_t next_try_ms;
    char channels[CHANNELS_MAX][IDENTIFIER_BYTES_MAX + 1];
    size_t channel_count;
    char why[SESSION_WHY_BYTES]; /* there is no connection */
};

/* What is posted to the plugin's thread. */
struct post {
    struct session *session;
    struct work *work; /* that is done; else: */
    bool is_back;
    struct rows rows;
};

static void
say_why(char why[SESSION_WHY_BYTES], const char *words)
{
    int len = snprintf(why, SESSION_WHY_BYTES, "%s", words);
    if (len >= SESSION_WHY_BYTES)
        len = SESSION_WHY_BYTES - 1;
    while (len > 0 && why[len - 1] == '\n')
        why[--len] = '\0';
}

/* --- what the plugin's thread is told ----------------------------------------------------------*/

static void
session_release(struct session *session)
{
    (void)pthread_mutex_destroy(&session->lock);
    (void)close(session->wake_fd);
    conninfo_fini(&session->server);
    free(session);
}

static void
on_post(void *arg)
{
    struct post *post = arg;
    struct session *session = post->session;
    bool is_over = atomic_load(&session->is_over);
    if (post->work != NULL && is_over) {
        rows_fini(&post->work->rows);
        free(post->work);
    } else if (post->work != NULL) {
        post->work->done(post->work);
    } else if (!is_over && post->is_back) {
        session->events->back(session->owner);
    } else if (!is_over) {
        session->events->changed(session->owner, &post->rows);
    }
    rows_fini(&post->rows);
    free(post);
}

static struct post *
post_new(struct session *session)
{
    struct post *post = malloc(sizeof *post);
    if (post == NULL)
        abort();
    *post = (struct post){ .session = session };
    rows_init(&post->rows);
    return post;
}

static void
post_done(struct work *work)
{
    struct post *post = post_new(work->session);
    post->work = work;
    remora_post(on_post, post);
}

/* --- reading -----------------------------------------------------------------------------------*/

/* Of a key's rows the one with the highest version: by number where they are numbers. */
#define SELECT                                                                                     \
    "SELECT DISTINCT ON (key) key, value, version, metadata::text FROM %s%s"                       \
    " ORDER BY key, (version ~ '^[0-9]{1,18}$') DESC,"                                             \
    " CASE WHEN version ~ '^[0-9]{1,18}$' THEN version::bigint END DESC, version DESC"

/* '{"a","b"}', as an array of texts is written. */
static char *
array_of(const struct remora_slice *keys, size_t count)
{
    size_t bytes = 3;
    for (size_t i = 0; i < count; i++)
        bytes += keys[i].len * 2 + 3;
    char *array = malloc(bytes), *at = array;
    if (array == NULL)
        abort();
    *at++ = '{';
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        *at++ = '"';
        for (size_t k = 0; k < keys[i].len; k++) {
            if (keys[i].data[k] == '"' || keys[i].data[k] == '\\')
                *at++ = '\\';
            *at++ = keys[i].data[k];
        }
        *at++ = '"';
    }
    *at++ = '}';
    *at = '\0';
    return array;
}

static bool
take_rows(const PGresult *result, struct rows *rows, char why[SESSION_WHY_BYTES])
{
    int count = PQntuples(result);
    for (int i = 0; i < count; i++) {
        if (PQgetvalue(result, i, 0)[0] == '\0')
            continue;
        rows_add(rows, row_new(PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
                               PQgetvalue(result, i, 2),
                               PQgetisnull(result, i, 3) ? NULL : PQgetvalue(result, i, 3)));
        if (rows->count > ROWS_MAX || rows->bytes > ROWS_BYTES_MAX) {
            snprintf(why, SESSION_WHY_BYTES,
                     "an answer holds at most %d items and %d bytes: ask for fewer keys", ROWS_MAX,
                     ROWS_BYTES_MAX);
            return false;
        }
    }
    return true;
}

static bool
read_rows(struct session *session, const struct remora_slice *keys, size_t count, struct rows *rows,
          char why[SESSION_WHY_BYTES])
{
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql, SELECT, session->table,
             count == 0 ? "" : " WHERE key = ANY($1::text[])");
    char *array = array_of(keys, count);
    const char *const values[] = { array };
    PGresult *result = PQexecParams(session->db, sql, count == 0 ? 0 : 1, NULL, values, NULL, NULL,
                                    0);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!ok)
        say_why(why, PQresultErrorMessage(result));
    ok = ok && take_rows(result, rows, why);
    PQclear(result);
    free(array);
    return ok;
}

static bool
listen_to(struct session *session, const char *channel, char why[SESSION_WHY_BYTES])
{
    char sql[SQL_BYTES];
    char *quoted = PQescapeIdentifier(session->db, channel, strlen(channel));
    snprintf(sql, sizeof sql, "LISTEN %s", quoted == NULL ? "\"\"" : quoted);
    PQfreemem(quoted);
    PGresult *result = PQexec(session->db, sql);
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!ok)
        say_why(why, PQresultErrorMessage(result));
    PQclear(result);
    return ok;
}

/* --- the connection ----------------------------------------------------------------------------*/

static void
drop(struct session *session)
{
    PQfinish(session->db);
    session->db = NULL;
    session->is_away = session->was_connected;
    session->next_try_ms = monotonic_now_ms() + session->pause_ms;
    session->pause_ms = session->pause_ms * 2 < PAUSE_MAX_MS ? session->pause_ms * 2 : PAUSE_MAX_MS;
}

static void
on_notice(void *arg, const PGresult *result)
{
    (void)arg, (void)result; /* nobody's business */
}

/* What the component says comes behind what is ours: the last one of a name counts. */
static PGconn *
connect_to(const struct conninfo *server)
{
    static const char *const ours[][2] = { { "connect_timeout", "5" },
                                           { "tcp_user_timeout", "10000" },
                                           { "application_name", "remora" } };
    enum { OURS = sizeof ours / sizeof ours[0] };
    const char *names[OURS + CONNINFO_PAIRS_MAX + 2], *values[OURS + CONNINFO_PAIRS_MAX + 2];
    const char *options = conninfo_get(server, "options");
    size_t count = 0;
    for (; count < OURS; count++) {
        names[count] = ours[count][0];
        values[count] = ours[count][1];
    }
    for (size_t i = 0; i < server->count; i++, count++) {
        names[count] = server->names[i];
        values[count] = server->values[i];
    }
    char *limited = memory_printf("-c statement_timeout=20000 %s", options == NULL ? "" : options);
    names[count] = "options";
    values[count++] = limited;
    names[count] = values[count] = NULL;
    PGconn *db = PQconnectdbParams(names, values, 0);
    free(limited);
    return db;
}

static void
dial(struct session *session)
{
    session->db = connect_to(&session->server);
    bool ok = PQstatus(session->db) == CONNECTION_OK;
    if (!ok)
        say_why(session->why, PQerrorMessage(session->db));
    if (ok)
        (void)PQsetNoticeReceiver(session->db, on_notice, NULL);
    for (size_t i = 0; ok && i < session->channel_count; i++)
        ok = listen_to(session, session->channels[i], session->why);
    if (!ok) {
        drop(session);
        return;
    }
    session->pause_ms = PAUSE_MIN_MS;
    if (session->is_away) {
        struct post *post = post_new(session);
        post->is_back = true;
        remora_post(on_post, post);
    }
    session->was_connected = true;
    session->is_away = false;
}

static void
check(struct session *session)
{
    if (session->db != NULL && PQstatus(session->db) != CONNECTION_OK) {
        say_why(session->why, PQerrorMessage(session->db));
        drop(session);
    }
}

/* --- work --------------------------------------------------------------------------------------*/

static bool
note_channel(struct session *session, const char *channel)
{
    for (size_t i = 0; i < session->channel_count; i++)
        if (strcmp(session->channels[i], channel) == 0)
            return true;
    if (session->channel_count == CHANNELS_MAX)
        return false;
    snprintf(session->channels[session->channel_count++], IDENTIFIER_BYTES_MAX + 1, "%s", channel);
    return true;
}

static void
run(struct session *session, struct work *work)
{
    bool ok = true;
    if (session->db == NULL)
        dial(session);
    if (session->db == NULL) {
        work->code = REMORA_UNAVAILABLE;
        say_why(work->why, session->why);
        ok = false;
    } else if (work->kind == WORK_READ) {
        work->code = REMORA_INTERNAL;
        ok = read_rows(session, work->keys, work->key_count, &work->rows, work->why);
    } else if (work->kind == WORK_LISTEN) {
        work->code = REMORA_INTERNAL;
        ok = listen_to(session, work->channel, work->why);
        if (ok && !note_channel(session, work->channel)) {
            work->code = REMORA_RESOURCE_EXHAUSTED;
            say_why(work->why, "there are too many channels");
            ok = false;
        }
    }
    work->has_failed = !ok;
    if (!ok && session->db != NULL && PQstatus(session->db) != CONNECTION_OK)
        work->code = REMORA_UNAVAILABLE;
    check(session);
    post_done(work);
}

static bool
is_same_key(const struct row *a, const struct row *b)
{
    return a->item.key.len == b->item.key.len &&
           memcmp(a->item.key.data, b->item.key.data, a->item.key.len) == 0;
}

static bool
has_key(const struct rows *rows, const struct row *like)
{
    for (const struct row *row = rows->first; row != NULL; row = row->next)
        if (is_same_key(row, like))
            return true;
    return false;
}

/* What the rows are by now; a deleted one is told as it was. */
static void
tell(struct session *session, struct rows *noted)
{
    struct post *post = post_new(session);
    struct remora_slice *keys = calloc(noted->count + 1, sizeof *keys);
    size_t count = 0;
    if (keys == NULL)
        abort();
    for (const struct row *row = noted->first; row != NULL; row = row->next)
        keys[count++] = row->item.key;
    if (read_rows(session, keys, count, &post->rows, session->why)) {
        for (struct row *row = noted->first, *next; row != NULL; row = next) {
            next = row->next;
            if (!has_key(&post->rows, row))
                rows_add(&post->rows, row_copy(&row->item));
        }
    } else {
        rows_fini(&post->rows);
        post->is_back = true; /* everything is read anew */
    }
    free(keys);
    remora_post(on_post, post);
}

/* Replaces an older one of the key. */
static void
note(struct rows *noted, struct row *row)
{
    for (struct row **at = &noted->first; *at != NULL; at = &(*at)->next) {
        struct row *old = *at;
        if (!is_same_key(old, row))
            continue;
        row->next = old->next;
        *at = row;
        if (noted->tail == &old->next)
            noted->tail = &row->next;
        free(old);
        return;
    }
    rows_add(noted, row);
}

static void
hear(struct session *session)
{
    struct rows noted;
    PGnotify *notification;
    rows_init(&noted);
    if (session->db == NULL)
        return;
    (void)PQconsumeInput(session->db); /* a failure shows in the status */
    while (noted.count < NOTES_MAX && (notification = PQnotifies(session->db)) != NULL) {
        struct row *row = row_of_notification(notification->extra);
        PQfreemem(notification);
        if (row != NULL)
            note(&noted, row);
    }
    check(session);
    if (noted.count > 0 && session->db != NULL)
        tell(session, &noted);
    rows_fini(&noted);
    check(session);
}

/* --- the thread --------------------------------------------------------------------------------*/

static struct work *
take_work(struct session *session)
{
    (void)pthread_mutex_lock(&session->lock);
    struct work *work = session->queue;
    session->queue = NULL;
    session->queue_tail = &session->queue;
    (void)pthread_mutex_unlock(&session->lock);
    return work;
}

static void
wait_for_something(struct session *session)
{
    struct pollfd fds[] = { { .fd = session->wake_fd, .events = POLLIN },
                            { .fd = session->db == NULL ? -1 : PQsocket(session->db),
                              .events = POLLIN } };
    uint64_t now = monotonic_now_ms();
    int timeout = -1;
    if (session->db == NULL && session->is_away)
        timeout = session->next_try_ms > now ? (int)(session->next_try_ms - now) : 0;
    (void)poll(fds, 2, timeout);
    uint64_t count;
    if ((fds[0].revents & POLLIN) != 0)
        (void)!read(session->wake_fd, &count, sizeof count);
    if (session->db == NULL && session->is_away && monotonic_now_ms() >= session->next_try_ms)
        dial(session);
}

static void
on_ended(void *arg)
{
    session_release(arg);
}

static void *
run_thread(void *arg)
{
    struct session *session = arg;
    while (!atomic_load(&session->is_over)) {
        wait_for_something(session);
        hear(session);
        for (struct work *work = take_work(session), *next; work != NULL; work = next) {
            next = work->next;
            run(session, work);
        }
        hear(session);
    }
    for (struct work *work = take_work(session), *next; work != NULL; work = next) {
        next = work->next;
        free(work);
    }
    PQfinish(session->db);
    remora_post(on_ended, session); /* behind everything that was posted */
    return NULL;
}

static void
wake(const struct session *session)
{
    const uint64_t one = 1;
    (void)!write(session->wake_fd, &one, sizeof one);
}

struct session *
session_new(struct conninfo *server, const char *table, const struct session_events *events,
            void *owner)
{
    struct session *session = calloc(1, sizeof *session);
    pthread_t thread;
    sigset_t all, before;
    if (session == NULL || pthread_mutex_init(&session->lock, NULL) != 0)
        abort();
    session->queue_tail = &session->queue;
    session->wake_fd = eventfd(0, EFD_CLOEXEC);
    session->server = *server;
    conninfo_init(server);
    session->events = events;
    session->owner = owner;
    session->pause_ms = PAUSE_MIN_MS;
    snprintf(session->table, sizeof session->table, "%s", table);
    /* Signals are the business of the plugin's thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (session->wake_fd < 0 || pthread_create(&thread, NULL, run_thread, session) != 0)
        abort();
    (void)pthread_detach(thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return session;
}

void
session_free(struct session *session)
{
    atomic_store(&session->is_over, true);
    wake(session);
}

void
session_submit(struct session *session, struct work *work)
{
    work->session = session;
    work->next = NULL;
    rows_init(&work->rows);
    (void)pthread_mutex_lock(&session->lock);
    *session->queue_tail = work;
    session->queue_tail = &work->next;
    (void)pthread_mutex_unlock(&session->lock);
    wake(session);
}
