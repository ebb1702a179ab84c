/* SPDX-License-Identifier: Apache-2.0 */
/* When batches are sent and what becomes of them; see exporter.h. */
#include "export/attempt.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/tls.h"
#include "telemetry/metrics.h"

#define SCOPE "dapr.runtime.trace"

enum { SPAWN_AGAIN_MS = 1000 };

static void start(struct exporter *exporter);
static void on_timer(struct timer *timer);
static void on_span(struct span_queue *queue, bool is_full);

struct exporter *
exporter_new(struct worker *worker, const struct exporter_config *config, void (*on_end)(void *arg),
             void *arg)
{
    struct exporter *exporter = calloc(1, sizeof *exporter);
    if (exporter == NULL)
        abort();
    *exporter = (struct exporter){
        .config = config, .worker = worker, .on_end = on_end, .arg = arg
    };
    span_queue_init(&exporter->queue, config->kind == EXPORTER_ZIPKIN ? SPAN_ZIPKIN : SPAN_OTLP,
                    config->resource);
    exporter->queue.on_span = on_span;
    timer_init(&exporter->timer, on_timer);
    list_init(&exporter->link);
    return exporter;
}

/* --- sending -----------------------------------------------------------------------------------*/

static void
count(const struct exporter *exporter, struct slice outcome, uint64_t spans)
{
    const struct slice labels[] = { span_form_name(exporter->queue.form), outcome };
    struct metric_series *series = spans == 0 ? NULL : metrics_series(METRICS_spans, labels);
    for (uint64_t i = 0; i < spans; i++)
        metrics_record(series, 0);
}

/* Both once each time it changes: a collector may be away for days. */
static void
tell(struct exporter *exporter, const struct attempt *attempt)
{
    const struct exporter_config *config = exporter->config;
    if (!attempt->is_ok && !exporter->has_failed)
        log_warn(SCOPE, "spans cannot be sent to " SLICE_FMT ":%u: " SLICE_FMT,
                 SLICE_ARG(config->host), config->port, SLICE_ARG(attempt->words));
    else if (attempt->is_ok && exporter->has_failed)
        log_info(SCOPE, "spans are sent to " SLICE_FMT ":%u again", SLICE_ARG(config->host),
                 config->port);
    exporter->has_failed = !attempt->is_ok;
}

/* Suspends; ends early when the exporter is to stop. */
static void
rest(struct task *t, struct exporter *exporter, uint64_t ms)
{
    if (exporter->is_stopping)
        return;
    wait_init(&exporter->pause, t, NULL);
    exporter->is_pausing = true;
    uint64_t outer = task_deadline_push(t, ms);
    err_t err = TASK_WAIT(t, &exporter->pause);
    task_deadline_pop(t, outer);
    (void)err; /* whichever way it ended, the next attempt finds out what may still be done */
    exporter->is_pausing = false;
}

/* Suspends. */
static void
deliver(struct task *t, struct exporter *exporter, const struct span_batch *batch)
{
    struct slice body = exporter_body(exporter->config, task_arena(t), batch);
    uint64_t begun_ms = clock_now_ms(), pause_ms = LIMIT_trace_pause_ms;
    struct attempt attempt;
    for (;;) {
        attempt = exporter_attempt(t, exporter, body); /* suspends */
        uint64_t wanted_ms = attempt.pause_ms > 0 ? attempt.pause_ms : pause_ms;
        if (attempt.is_ok || !attempt.may_repeat || exporter->is_stopping ||
            clock_now_ms() - begun_ms + wanted_ms > LIMIT_trace_repeat_ms)
            break;
        tell(exporter, &attempt);
        rest(t, exporter, wanted_ms); /* suspends */
        pause_ms = pause_ms * 2 > LIMIT_trace_pause_ms_max ? LIMIT_trace_pause_ms_max
                                                           : pause_ms * 2;
    }
    tell(exporter, &attempt);
    uint64_t refused = attempt.refused > batch->count ? batch->count : attempt.refused;
    if (!attempt.is_ok) {
        count(exporter, SLICE("failed"), batch->count);
        return;
    }
    count(exporter, SLICE("refused"), refused);
    count(exporter, SLICE("sent"), batch->count - refused);
}

static void
arm(struct exporter *exporter)
{
    uint64_t delay_ms = exporter->config->delay_ms;
    timer_set(&exporter->worker->timers, &exporter->timer,
              clock_now_ms() + (delay_ms == 0 ? LIMIT_trace_delay_ms : delay_ms));
}

/* There is no task, and there will be none. */
static void
end(struct exporter *exporter)
{
    count(exporter, SLICE("failed"), exporter->queue.span_count);
    timer_stop(&exporter->worker->timers, &exporter->timer);
    list_remove(&exporter->link);
    client_close(exporter->client);
    span_queue_fini(&exporter->queue);
    exporter->on_end(exporter->arg);
    free(exporter);
}

/* What is there when it is its turn; all there is once no more comes. */
static void
send_batches(struct task *t, struct exporter *exporter)
{
    struct span_queue *queue = &exporter->queue;
    size_t due = queue->span_count;
    while (due > 0 || exporter->is_retired) {
        struct span_batch *batch = task_is_cancelled(t) ? NULL : span_queue_take(queue);
        if (batch == NULL)
            return;
        due = due > batch->count ? due - batch->count : 0;
        if (batch->count > 0)
            deliver(t, exporter, batch); /* suspends */
        span_batch_free(batch);
    }
}

static void
run(struct task *t, void *arg)
{
    struct exporter *exporter = arg;
    send_batches(t, exporter); /* suspends */
    exporter->task = NULL;
    if (exporter->is_retired) {
        end(exporter);
    } else if (exporter->queue.span_count >= exporter->queue.batch_max) {
        start(exporter); /* with an arena of its own */
    } else if (exporter->queue.span_count > 0) {
        arm(exporter);
    }
}

/* --- when --------------------------------------------------------------------------------------*/

static void
start(struct exporter *exporter)
{
    timer_stop(&exporter->worker->timers, &exporter->timer);
    exporter->task = task_spawn(exporter->worker, "trace export", run, exporter);
    if (exporter->task == NULL) /* the worker is full of requests: they come first */
        timer_set(&exporter->worker->timers, &exporter->timer, clock_now_ms() + SPAWN_AGAIN_MS);
    else if (exporter->is_retired)
        timer_set(&exporter->worker->timers, &exporter->timer, exporter->until_ms);
}

static void
on_timer(struct timer *timer)
{
    struct exporter *exporter = container_of(timer, struct exporter, timer);
    if (exporter->is_retired && clock_now_ms() >= exporter->until_ms)
        exporter_give_up(exporter);
    else if (exporter->task == NULL)
        start(exporter);
}

static void
on_span(struct span_queue *queue, bool is_full)
{
    struct exporter *exporter = container_of(queue, struct exporter, queue);
    if (exporter->task != NULL || exporter->is_retired)
        return; /* looks again before it ends; or nobody will */
    if (is_full)
        start(exporter);
    else if (!timer_is_set(&exporter->timer))
        arm(exporter);
}

/* --- its end -----------------------------------------------------------------------------------*/

/* What there is to send is sent from now on. */
static void
retire(struct exporter *exporter, uint64_t within_ms)
{
    exporter->is_retired = true;
    exporter->until_ms = clock_now_ms() + within_ms;
    if (exporter->task != NULL)
        timer_set(&exporter->worker->timers, &exporter->timer, exporter->until_ms);
    else if (exporter->queue.span_count > 0)
        start(exporter);
}

void
exporter_retire(struct exporter *exporter)
{
    retire(exporter, LIMIT_trace_retired_ms);
    if (exporter->task == NULL && exporter->queue.span_count == 0)
        end(exporter);
}

void
exporter_give_up(struct exporter *exporter)
{
    if (exporter->task != NULL)
        task_cancel(exporter->task);
    else
        end(exporter);
}

void
exporter_stop(struct exporter *exporter)
{
    exporter->is_stopping = true;
    retire(exporter, LIMIT_trace_flush_ms);
    if (exporter->task == NULL) {
        end(exporter);
        return;
    }
    if (exporter->is_pausing) {
        exporter->is_pausing = false;
        wait_done(&exporter->pause, OK);
    }
}
