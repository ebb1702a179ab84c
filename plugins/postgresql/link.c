/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection in pipeline mode. Each job is its commands and a synchronisation behind them, which
 * makes them one transaction; its answer is complete when that of the synchronisation has come,
 * because only then the transaction is. A job with the user's own text leaves the mode for as long
 * as it runs.
 */
#include "link.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"

enum { NULLS_MAX = 4 };

/* --- losing it ---------------------------------------------------------------------------------*/

/* Told once what is under way has been handled; the link may be in use up the stack. */
static void
lose(struct link *link, const char *why)
{
    if (link->is_lost)
        return;
    link->is_lost = true;
    dial_copy_words(link->why, sizeof link->why, why);
}

/* The last thing that is done with the link: it may be gone afterwards. */
static void
end_if_lost(struct link *link)
{
    if (!link->is_lost && link->db != NULL && PQstatus(link->db) == CONNECTION_BAD)
        lose(link, PQerrorMessage(link->db));
    if (link->is_lost)
        pool_link_lost(link->pool, link, link->why);
}

/* --- sending -----------------------------------------------------------------------------------*/

/* All parameters are in binary form, and so are the results. */
static int
send_unprepared(struct link *link, const struct command *command, const char *sql)
{
    int formats[8] = { 0 };
    int *all = command->count <= 8 ? formats : memory_new((size_t)command->count * sizeof *all);
    for (int i = 0; i < command->count; i++)
        all[i] = 1;
    int ok = PQsendQueryParams(link->db, sql, command->count, NULL, command->values,
                               command->lengths, all, 1);
    if (all != formats)
        free(all);
    return ok;
}

static void
statement_name(int statement, char name[16])
{
    snprintf(name, 16, "remora_%u", (unsigned)statement % POOL_STATEMENTS_MAX);
}

static bool
send_command(struct link *link, const struct command *command, bool prepares)
{
    static const int formats[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const struct pool_options *options = pool_options_of(link->pool);
    if (command->statement < 0)
        return send_unprepared(link, command, command->sql) != 0;
    if (!prepares)
        return send_unprepared(link, command, options->statements[command->statement]) != 0;
    char name[16];
    statement_name(command->statement, name);
    assert(command->count <= 8);
    return PQsendQueryPrepared(link->db, name, command->count, command->values, command->lengths,
                               formats, 1) != 0;
}

/* What was once a failure is sent in the way that needs nothing of the session. */
static bool
prepares_for(const struct link *link, const struct job *job)
{
    return link->prepares && !job->is_again && !job->is_independent && !job->is_row_by_row;
}

/* In a transaction of their own, so that what fails later does not take them back. Their answers
 * are nobody's: see read_skipped(). */
static bool
prepare(struct link *link, struct job *job)
{
    const struct pool_options *options = pool_options_of(link->pool);
    job->skips = false;
    for (size_t i = 0; prepares_for(link, job) && i < job->count; i++) {
        int statement = job->commands[i].statement;
        char name[16];
        if (statement < 0 || link->is_prepared[statement])
            continue;
        statement_name(statement, name);
        link->is_prepared[statement] = job->skips = true;
        if (PQsendPrepare(link->db, name, options->statements[statement], 0, NULL) == 0)
            return false;
    }
    return !job->skips || PQpipelineSync(link->db) != 0;
}

static bool
send_plain(struct link *link, const struct job *job)
{
    const struct command *command = &job->commands[0];
    if (PQexitPipelineMode(link->db) == 0)
        return false;
    return job->is_script ? PQsendQuery(link->db, command->sql) != 0
                          : PQsendQueryParams(link->db, command->sql, command->count, NULL,
                                              command->values, NULL, NULL, 0) != 0;
}

static bool
send_pipelined(struct link *link, struct job *job)
{
    if (!prepare(link, job))
        return false;
    for (size_t i = 0; i < job->count; i++) {
        if (!send_command(link, &job->commands[i], prepares_for(link, job)))
            return false;
        if ((job->is_independent || i + 1 == job->count) && PQpipelineSync(link->db) == 0)
            return false;
    }
    return true;
}

static void
flush(struct link *link)
{
    int left = PQflush(link->db);
    if (left < 0)
        lose(link, PQerrorMessage(link->db));
    else if (left > 0)
        ev_io_start(remora_loop(), &link->writable);
    else
        ev_io_stop(remora_loop(), &link->writable);
}

void
link_send(struct link *link, struct job *job)
{
    job->link = link;
    job->next = NULL;
    job->at = 0;
    job->has_failed = job->awaits_sync = false;
    *link->tail = job;
    link->tail = &job->next;
    link->depth++;
    link->is_exclusive = job->is_exclusive;
    link->progress_ms = link->depth == 1 ? monotonic_now_ms() : link->progress_ms;
    bool ok = job->is_plain ? send_plain(link, job) : send_pipelined(link, job);
    if (ok && job->is_row_by_row)
        ok = PQsetSingleRowMode(link->db) != 0;
    if (!ok)
        lose(link, PQerrorMessage(link->db));
    else
        flush(link);
    if (link->is_lost) /* found on the next turn: not from within this call */
        ev_feed_event(remora_loop(), &link->readable, EV_READ);
}

/* --- cancelling --------------------------------------------------------------------------------*/

static void *
run_cancel(void *arg)
{
    char why[256];
    (void)PQcancel(arg, why, sizeof why); /* the statement has a limit of its own */
    PQfreeCancel(arg);
    return NULL;
}

/* libpq makes a connection for it and waits, so a thread does it. */
void
link_cancel(struct link *link)
{
    PGcancel *cancel = link->db == NULL ? NULL : PQgetCancel(link->db);
    pthread_t thread;
    sigset_t all, before;
    if (cancel == NULL)
        return;
    link->was_cancelled = true;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, run_cancel, cancel) == 0)
        (void)pthread_detach(thread);
    else
        PQfreeCancel(cancel);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- what the server says ----------------------------------------------------------------------*/

struct meaning {
    const char *state; /* or what it begins with */
    enum remora_code code;
    enum remora_effect effect;
};

/* NOT_SENT: the transaction was rolled back, and another attempt may succeed. */
static const struct meaning meanings[] = {
    { "40001", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "40P01", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "55P03", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "25006", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "57014", REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_FAILED },
    { "57P", REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED },
    { "08", REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED },
    { "53100", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "53200", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "53300", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "42501", REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
};

/* In the words of the reference's driver. */
static void
trouble_of_result(const PGresult *result, struct trouble *trouble)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    *trouble = (struct trouble){ .code = REMORA_INTERNAL, .effect = REMORA_EFFECT_FAILED };
    if (state == NULL || message == NULL) {
        dial_copy_words(trouble->why, sizeof trouble->why, PQresultErrorMessage(result));
        return;
    }
    snprintf(trouble->state, sizeof trouble->state, "%s", state);
    snprintf(trouble->why, sizeof trouble->why, "%s: %.512s (SQLSTATE %s)",
             severity == NULL ? "ERROR" : severity, message, state);
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (strncmp(state, meanings[i].state, strlen(meanings[i].state)) == 0) {
            trouble->code = meanings[i].code;
            trouble->effect = meanings[i].effect;
            return;
        }
    }
}

/* An error behind the last command is that of the end of the transaction. */
static void
fail_command(struct link *link, struct job *job, const PGresult *result)
{
    struct trouble trouble;
    trouble_of_result(result, &trouble);
    bool is_gone = strncmp(trouble.state, "57P", 3) == 0;
    if (is_gone && job->awaits_sync && job->is_write)
        trouble.effect = REMORA_EFFECT_UNKNOWN;
    if (strcmp(trouble.state, "25006") == 0)
        lose(link, "the server has become a standby");
    if (job->is_independent) {
        job->on_failed(job, job->awaits_sync ? job->at - 1 : job->at, &trouble);
        return;
    }
    if (job->has_failed)
        return; /* the first one counts */
    job->has_failed = true;
    job->trouble = trouble;
}

/* A job is done, or goes again because somebody in between gave the session to others. */
static void
end_job(struct link *link, struct job *job)
{
    link->progress_ms = monotonic_now_ms();
    link->is_exclusive = false;
    link->idle_nulls = 0;
    if (link->was_cancelled)
        lose(link, "a statement was ended"); /* or the next one would be: it is not known when */
    bool is_unknown = job->has_failed && !job->is_again &&
                      strcmp(job->trouble.state, "26000") == 0 && link->prepares;
    if (!is_unknown) {
        pool_job_done(link->pool, link);
        return;
    }
    link->prepares = false;
    job->is_again = true;
    pool_job_again(link->pool, link);
}

static bool
is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* True: the result was kept. */
static bool
take_result(struct link *link, struct job *job, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (is_copy(status)) {
        lose(link, "COPY is not possible here");
        return false;
    }
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        fail_command(link, job, result);
        return false;
    }
    bool is_result = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
                     status == PGRES_SINGLE_TUPLE || status == PGRES_EMPTY_QUERY;
    if (!is_result || job->has_failed || job->awaits_sync || job->on_result == NULL)
        return false;
    return job->on_result(job, job->at, result);
}

static void
read_plain(struct link *link, struct job *job, PGresult *result)
{
    if (result != NULL) {
        if (!take_result(link, job, result))
            PQclear(result);
        return;
    }
    /* What was begun and not ended must not be the next one's. */
    if (PQtransactionStatus(link->db) != PQTRANS_IDLE)
        lose(link, "a transaction was left open");
    else if (PQenterPipelineMode(link->db) == 0)
        lose(link, PQerrorMessage(link->db));
    end_job(link, job);
}

/* What belongs to the statements that were prepared for the job. */
static void
read_skipped(struct job *job, PGresult *result)
{
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
        job->skips = false;
    PQclear(result); /* a failure shows in the commands that use it */
}

static void
read_pipelined(struct link *link, struct job *job, PGresult *result)
{
    if (result == NULL) {
        if (++link->idle_nulls > NULLS_MAX)
            lose(link, "the connection is out of step");
        else if (!job->skips && !job->awaits_sync) {
            job->at++;
            job->awaits_sync = job->is_independent || job->at == job->count;
        }
        return;
    }
    link->idle_nulls = 0;
    if (job->skips) {
        read_skipped(job, result);
        return;
    }
    bool is_end = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    if (!take_result(link, job, result))
        PQclear(result);
    if (!is_end)
        return;
    job->awaits_sync = false;
    if (job->at >= job->count)
        end_job(link, job);
}

/* With a job that is independent each command ends with a synchronisation of its own: what counts
 * is that of the last. */
static void
read_results(struct link *link)
{
    while (!link->is_lost && link->first != NULL && PQisBusy(link->db) == 0) {
        struct job *job = link->first;
        if (PQstatus(link->db) == CONNECTION_BAD)
            return;
        PGresult *result = PQgetResult(link->db);
        if (job->is_plain)
            read_plain(link, job, result);
        else
            read_pipelined(link, job, result);
    }
}

static void
drop_notifications(struct link *link)
{
    PGnotify *notification;
    while ((notification = PQnotifies(link->db)) != NULL)
        PQfreemem(notification);
}

static void
on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct link *link = io->data;
    if (!link->is_lost && PQconsumeInput(link->db) == 0)
        lose(link, PQerrorMessage(link->db));
    if (!link->is_lost) {
        read_results(link);
        drop_notifications(link);
        flush(link);
    }
    end_if_lost(link);
}

static void
on_writable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct link *link = io->data;
    flush(link);
    end_if_lost(link);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
on_dialed(PGconn *db, const char *why, void *arg)
{
    struct link *link = arg;
    link->dial = NULL;
    if (db == NULL || PQenterPipelineMode(db) == 0) {
        PQfinish(db);
        pool_link_lost(link->pool, link, db == NULL ? why : "it cannot be used for pipelines");
        return;
    }
    link->db = db;
    ev_io_init(&link->readable, on_readable, PQsocket(db), EV_READ);
    ev_io_init(&link->writable, on_writable, PQsocket(db), EV_WRITE);
    link->readable.data = link->writable.data = link;
    ev_io_start(remora_loop(), &link->readable);
    link->progress_ms = monotonic_now_ms();
    pool_link_ready(link->pool, link);
}

struct link *
link_new(struct pool *pool)
{
    const struct pool_options *options = pool_options_of(pool);
    struct link *link = memory_new(sizeof *link);
    link->pool = pool;
    link->tail = &link->first;
    link->prepares = options->settings->has_session;
    link->dial = dial_start(options->settings, link->prepares ? options->greeting : NULL, on_dialed,
                            link);
    return link;
}

void
link_free(struct link *link)
{
    dial_cancel(link->dial);
    if (link->db != NULL) {
        ev_io_stop(remora_loop(), &link->readable);
        ev_io_stop(remora_loop(), &link->writable);
        PQfinish(link->db);
    }
    free(link);
}
