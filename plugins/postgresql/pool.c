/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which job goes where, and how long it may wait. Two queues: jobs that want a connection to
 * themselves leave one to the others, if there are several, and while one of them waits a
 * connection is kept free of new jobs for it.
 */
#include "pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"
#include "link.h"

enum {
    TICK_MS = 100,
    PAUSE_MIN_MS = 50, /* between attempts to connect */
    PAUSE_MAX_MS = 1000,
    DIALS_MAX = 2,
    DOWN_WAIT_MS = 500, /* for a server that cannot be reached; the sidecar tries again */
    /* A connection on which nothing happens for so long, beyond the limit of a statement, is lost.
     */
    STUCK_MS = 5000,
};

struct queue {
    struct job *first, **tail;
};

struct pool {
    struct pool_options options;
    struct link *links;
    int link_count, dial_count;
    struct queue quick, exclusive; /* waiting */
    struct queue refused;          /* to be told so */
    size_t job_count, bytes;
    ev_timer tick;
    uint64_t next_dial_ms;
    unsigned pause_ms;
    bool is_down; /* the last attempt to connect has failed */
    bool is_probing;
    char why[DIAL_WHY_BYTES]; /* it is down */
};

const struct pool_options *
pool_options_of(const struct pool *pool)
{
    return &pool->options;
}

/* --- queues ------------------------------------------------------------------------------------*/

static void
queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->tail = &queue->first;
}

static void
queue_put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
}

static struct job *
queue_take(struct queue *queue)
{
    struct job *job = queue->first;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->tail = &queue->first;
    return job;
}

/* --- ends of jobs ------------------------------------------------------------------------------*/

static void
set_trouble(struct job *job, enum remora_code code, enum remora_effect effect, const char *why)
{
    job->has_failed = true;
    job->trouble = (struct trouble){ .code = code, .effect = effect };
    snprintf(job->trouble.why, sizeof job->trouble.why, "%s", why);
}

static void
finish(struct pool *pool, struct job *job)
{
    pool->job_count--;
    pool->bytes -= job->bytes;
    job->link = NULL;
    struct trouble trouble = job->trouble; /* the job may be gone when it is read */
    job->done(job, job->has_failed ? &trouble : NULL);
}

static void
wake(struct pool *pool)
{
    if (!ev_is_active(&pool->tick))
        ev_timer_again(remora_loop(), &pool->tick);
}

static void
refuse(struct pool *pool, struct job *job, enum remora_code code, const char *why)
{
    set_trouble(job, code, REMORA_EFFECT_NOT_SENT, why);
    queue_put(&pool->refused, job);
    ev_feed_event(remora_loop(), &pool->tick, EV_TIMER);
}

/* --- choosing ----------------------------------------------------------------------------------*/

static int
links_max(const struct pool *pool)
{
    return pool->is_probing ? 1 : pool->options.settings->connections_max;
}

/* The one with the fewest jobs; NULL if all have enough. */
static struct link *
least_busy(const struct pool *pool)
{
    struct link *best = NULL;
    for (struct link *one = pool->links; one != NULL; one = one->next)
        if (link_is_ready(one) && !one->is_exclusive && !one->is_reserved &&
            one->depth < POOL_DEPTH_MAX && (best == NULL || one->depth < best->depth))
            best = one;
    return best;
}

static struct link *
idle_link(const struct pool *pool)
{
    for (struct link *one = pool->links; one != NULL; one = one->next)
        if (link_is_ready(one) && one->depth == 0)
            return one;
    return NULL;
}

static int
exclusive_count(const struct pool *pool)
{
    int count = 0;
    for (const struct link *one = pool->links; one != NULL; one = one->next)
        count += one->is_exclusive;
    return count;
}

static void
reserve(struct pool *pool, bool is_wanted)
{
    struct link *best = NULL;
    for (struct link *one = pool->links; one != NULL; one = one->next) {
        one->is_reserved = false;
        if (link_is_ready(one) && !one->is_exclusive && (best == NULL || one->depth < best->depth))
            best = one;
    }
    if (is_wanted && best != NULL)
        best->is_reserved = true;
}

static void
grow(struct pool *pool)
{
    if (pool->link_count >= links_max(pool) || pool->dial_count >= DIALS_MAX ||
        monotonic_now_ms() < pool->next_dial_ms || (pool->is_down && pool->dial_count > 0))
        return;
    struct link *link = link_new(pool);
    link->next = pool->links;
    pool->links = link;
    pool->link_count++;
    pool->dial_count++;
}

/* --- sending what waits ------------------------------------------------------------------------*/

static bool
drop_cancelled(struct pool *pool, struct queue *queue)
{
    struct job *job = queue->first;
    if (job == NULL || !job->is_cancelled)
        return false;
    refuse(pool, queue_take(queue), REMORA_CANCELLED, "the caller has given up");
    return true;
}

static void
dispatch_exclusive(struct pool *pool)
{
    int most = links_max(pool) > 1 ? links_max(pool) - 1 : 1;
    while (pool->exclusive.first != NULL) {
        if (drop_cancelled(pool, &pool->exclusive))
            continue;
        struct link *link = exclusive_count(pool) < most ? idle_link(pool) : NULL;
        if (link == NULL)
            break;
        link->is_reserved = false;
        link_send(link, queue_take(&pool->exclusive));
    }
    bool is_waiting = pool->exclusive.first != NULL;
    if (is_waiting)
        grow(pool);
    reserve(pool, is_waiting && exclusive_count(pool) < most);
}

static void
dispatch_quick(struct pool *pool)
{
    while (pool->quick.first != NULL) {
        if (drop_cancelled(pool, &pool->quick))
            continue;
        struct link *link = least_busy(pool);
        if (link == NULL || link->depth > 0)
            grow(pool);
        if (link == NULL)
            return;
        link_send(link, queue_take(&pool->quick));
    }
}

static void
dispatch(struct pool *pool)
{
    dispatch_exclusive(pool);
    dispatch_quick(pool);
}

/* --- links -------------------------------------------------------------------------------------*/

void
pool_link_ready(struct pool *pool, struct link *link)
{
    (void)link;
    pool->dial_count--;
    pool->is_down = false;
    pool->pause_ms = PAUSE_MIN_MS;
    pool->next_dial_ms = 0;
    wake(pool);
    dispatch(pool);
}

static void
refuse_all(struct pool *pool, struct queue *queue)
{
    while (queue->first != NULL)
        refuse(pool, queue_take(queue), REMORA_UNAVAILABLE, pool->why);
}

static void
note_failed_dial(struct pool *pool, const char *why)
{
    pool->dial_count--;
    pool->is_down = pool->link_count == 0;
    pool->next_dial_ms = monotonic_now_ms() + pool->pause_ms;
    pool->pause_ms = pool->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pool->pause_ms * 2;
    snprintf(pool->why, sizeof pool->why, "%s", why);
    if (!pool->is_probing)
        return;
    refuse_all(pool, &pool->quick);
    refuse_all(pool, &pool->exclusive);
}

/* The server may have done what it was sent, and it may have told of it. */
static void
lose_job(struct job *job, const char *why)
{
    if (!job->is_given_up && !(job->has_failed && !job->is_write))
        set_trouble(job, REMORA_UNAVAILABLE,
                    job->is_write ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_FAILED, why);
}

void
pool_link_lost(struct pool *pool, struct link *link, const char *why)
{
    struct link **at = &pool->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    pool->link_count--;
    char words[DIAL_WHY_BYTES];
    dial_copy_words(words, sizeof words, why);
    if (link->db == NULL)
        note_failed_dial(pool, words);
    struct job *job = link->first;
    link_free(link);
    wake(pool);
    for (struct job *next; job != NULL; job = next) {
        next = job->next;
        lose_job(job, words);
        finish(pool, job);
    }
    dispatch(pool);
}

static struct job *
take_first(struct link *link)
{
    struct job *job = link->first;
    link->first = job->next;
    if (link->first == NULL)
        link->tail = &link->first;
    link->depth--;
    return job;
}

void
pool_job_done(struct pool *pool, struct link *link)
{
    finish(pool, take_first(link));
    dispatch(pool);
}

void
pool_job_again(struct pool *pool, struct link *link)
{
    struct job *job = take_first(link);
    queue_put(job->is_exclusive ? &pool->exclusive : &pool->quick, job);
    dispatch(pool);
}

void
pool_abandon(struct job *job, const struct trouble *trouble)
{
    job->is_given_up = job->has_failed = true;
    job->trouble = *trouble;
    job->link->is_lost = true;
    snprintf(job->link->why, sizeof job->link->why, "%.300s", trouble->why);
}

/* --- time --------------------------------------------------------------------------------------*/

/* Jobs are in the order in which they came, but not in that of their limits. */
static void
expire(struct pool *pool, struct queue *queue, uint64_t now)
{
    struct queue rest;
    bool is_down = pool->is_down && pool->link_count == pool->dial_count;
    queue_init(&rest);
    while (queue->first != NULL) {
        struct job *job = queue_take(queue);
        if (job->is_cancelled)
            refuse(pool, job, REMORA_CANCELLED, "the caller has given up");
        else if (is_down && now > job->since_ms + DOWN_WAIT_MS)
            refuse(pool, job, REMORA_UNAVAILABLE, pool->why);
        else if (now > job->deadline_ms)
            refuse(pool, job, REMORA_DEADLINE_EXCEEDED,
                   is_down ? pool->why : "timeout: all connections are busy");
        else
            queue_put(&rest, job);
    }
    if (rest.first != NULL) {
        queue->first = rest.first;
        queue->tail = rest.tail;
    }
}

static bool
is_stuck(const struct pool *pool, const struct link *link, uint64_t now)
{
    const struct settings *settings = pool->options.settings;
    return link_is_ready(link) && link->depth > 0 && !link->first->is_plain &&
           now > link->progress_ms + (uint64_t)settings->timeout_ms + STUCK_MS;
}

static bool
is_unused(const struct pool *pool, const struct link *link, uint64_t now)
{
    const struct settings *settings = pool->options.settings;
    return link_is_ready(link) && link->depth == 0 && settings->idle_ms > 0 &&
           now > link->progress_ms + (uint64_t)settings->idle_ms;
}

static void
check_links(struct pool *pool, uint64_t now)
{
    for (struct link *one = pool->links, *next; one != NULL; one = next) {
        next = one->next;
        if (is_unused(pool, one, now)) {
            pool_link_lost(pool, one, "unused");
            return; /* the list may be another one now */
        }
        if (is_stuck(pool, one, now)) {
            link_cancel(one);
            pool_link_lost(pool, one, "timeout: the server does not answer");
            return;
        }
    }
}

static void
tell_refused(struct pool *pool)
{
    while (pool->refused.first != NULL)
        finish(pool, queue_take(&pool->refused));
}

static void
on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct pool *pool = timer->data;
    uint64_t now = monotonic_now_ms();
    expire(pool, &pool->quick, now);
    expire(pool, &pool->exclusive, now);
    tell_refused(pool);
    check_links(pool, now);
    dispatch(pool);
    bool is_quiet = pool->job_count == 0 && pool->dial_count == 0 &&
                    (pool->link_count == 0 || pool->options.settings->idle_ms == 0);
    if (is_quiet)
        ev_timer_stop(loop, timer);
}

/* --- life --------------------------------------------------------------------------------------*/

struct pool *
pool_new(const struct pool_options *options)
{
    struct pool *pool = memory_new(sizeof *pool);
    assert(options->statement_count <= POOL_STATEMENTS_MAX);
    pool->options = *options;
    pool->pause_ms = PAUSE_MIN_MS;
    queue_init(&pool->quick);
    queue_init(&pool->exclusive);
    queue_init(&pool->refused);
    ev_timer_init(&pool->tick, on_tick, 0, TICK_MS / 1000.0);
    pool->tick.data = pool;
    return pool;
}

void
pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    ev_clear_pending(remora_loop(), &pool->tick);
    ev_timer_stop(remora_loop(), &pool->tick);
    while (pool->links != NULL) {
        struct link *link = pool->links;
        pool->links = link->next;
        link_free(link);
    }
    free(pool);
}

void
pool_probe(struct pool *pool, bool is_probing)
{
    pool->is_probing = is_probing;
}

static void
on_cancel(remora_call *call, void *arg)
{
    (void)call;
    struct job *job = arg;
    job->is_cancelled = true;
    if (job->link != NULL && job->is_exclusive && job->link->first == job)
        link_cancel(job->link);
}

void
pool_submit(struct pool *pool, struct job *job)
{
    uint64_t limit = (uint64_t)pool->options.settings->timeout_ms;
    uint64_t left = job->call == NULL ? UINT64_MAX : remora_call_time_left_ms(job->call);
    job->since_ms = monotonic_now_ms();
    job->deadline_ms = job->since_ms + (left < limit ? left : limit);
    job->link = NULL;
    job->has_failed = job->is_given_up = job->is_cancelled = job->is_again = false;
    bool is_full = pool->job_count >= POOL_JOBS_MAX ||
                   (pool->job_count > 0 && pool->bytes + job->bytes > POOL_BYTES_MAX);
    pool->job_count++;
    pool->bytes += job->bytes;
    wake(pool);
    if (is_full) {
        refuse(pool, job, REMORA_RESOURCE_EXHAUSTED, "too many requests wait for postgresql");
        return;
    }
    queue_put(job->is_exclusive ? &pool->exclusive : &pool->quick, job);
    dispatch(pool);
    if (job->call != NULL)
        remora_call_on_cancel(job->call, on_cancel, job);
}

uint64_t
pool_rows_changed(PGresult *result)
{
    const char *text = PQcmdTuples(result);
    int64_t rows = 0;
    (void)remora_parse_i64((struct remora_slice){ text, strlen(text) }, &rows);
    return rows < 0 ? 0 : (uint64_t)rows;
}
