/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted and logged of an HTTP request once it has been answered, and the answer of the
 * metrics port.
 */
#include "async/offload.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/path.h"
#include "surface/http_surface.h"
#include "surface/observe.h"
#include "telemetry/process.h"

/* Percent-decoded; as it came if that cannot be done. */
static struct slice
decoded(struct arena *arena, struct slice path)
{
    struct slice text;
    if (slice_find_byte(path, '%') < 0 || !path_decode(arena, path, &text))
        return path;
    return text;
}

/* --- counting ----------------------------------------------------------------------------------*/

static void
count(struct http_call *call, int status, uint64_t took_ns)
{
    const struct path_rules *rules = &settings_of(call->rq.task)->path_rules;
    const struct http_exchange *x = call->x;
    char digits[OBSERVE_NUMBER_BYTES];
    struct slice path = SLICE_EMPTY;
    if (!rules->is_low || rules->template_count > 0)
        path = decoded(call->rq.arena, path_clean(call->rq.arena, x->path));
    const struct slice labels[] = { method_label(rules, x->method),
                                    path_label(rules, call->rq.arena, path),
                                    observe_number(digits, (uint64_t)status) };
    metrics_record(metrics_series(METRICS_http_server, labels), took_ns);
    metrics_record(metrics_single(METRICS_http_request_body),
                   x->content_length < 0 ? 0 : (uint64_t)x->content_length);
    metrics_record(metrics_single(METRICS_http_response_body), x->reply_bytes);
}

/* --- the log of calls --------------------------------------------------------------------------*/

static bool
is_logged(const struct http_call *call)
{
    const struct api_log_settings *settings = &settings_of(call->rq.task)->api_log;
    if (!settings->is_enabled || !call->is_past_guard || log_threshold > LOG_INFO)
        return false;
    struct slice rpc = slice_str(call->rpc);
    return !settings->omits_health_checks || !slice_has_prefix(rpc, SLICE("Healthz"));
}

/* "GetState"; of an invocation also whom it is for. */
static struct slice
name_of(const struct http_call *call)
{
    if (call->target.len == 0)
        return slice_str(call->rpc);
    return arena_printf(call->rq.arena, "%s/" SLICE_FMT, call->rpc, SLICE_ARG(call->target));
}

static void
log_call(struct http_call *call, int status, uint64_t took_ns)
{
    struct arena *arena = call->rq.arena;
    struct slice method = name_of(call);
    if (!settings_of(call->rq.task)->api_log.obfuscates_urls)
        method = arena_printf(arena, SLICE_FMT " " SLICE_FMT, SLICE_ARG(call->x->method),
                              SLICE_ARG(decoded(arena, call->x->path)));
    observe_log(call->x, &(struct observed_call){ .scope = "dapr.runtime.http-info",
                                                  .words = SLICE("HTTP API Called"),
                                                  .method = method,
                                                  .code = (uint64_t)status,
                                                  .took_ns = took_ns,
                                                  .has_size = true,
                                                  .size = call->x->reply_bytes });
}

void
http_observe(struct http_call *call, bool is_public)
{
    bool counts = metrics_is_on(), logs = !is_public && is_logged(call);
    if (!counts && !logs && call->rq.span == NULL)
        return;
    uint64_t now_ns = clock_now_ns();
    uint64_t took_ns = now_ns > call->started_ns ? now_ns - call->started_ns : 0;
    int status = call->x->reply_status == 0 ? 500 : call->x->reply_status; /* what is sent then */
    if (counts)
        count(call, status, took_ns);
    if (logs)
        log_call(call, status, took_ns);
    if (call->rq.span != NULL)
        http_trace(call, status, took_ns);
}

/* --- the metrics port --------------------------------------------------------------------------*/

static err_t
sample_process(void *arg)
{
    process_sample(arg);
    return OK;
}

static err_t
put(void *arg, struct slice text)
{
    struct http_exchange *x = arg;
    err_t err = http_reply_write(x, text); /* suspends while the client does not keep up */
    task_yield(x->task);                   /* there may be very much of it: others have a turn */
    return err;
}

void
http_metrics_handle(struct http_exchange *x)
{
    static const struct http_header type = {
        .name = { "Content-Type", sizeof("Content-Type") - 1 },
        .value = { "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
                   sizeof("text/plain; version=0.0.4; charset=utf-8; escaping=underscores") - 1 },
    };
    struct request rq;
    request_init(&rq, x->task);
    struct metric_samples samples = { .arena = rq.arena };
    if (offload_run(x->task, sample_process, &samples) == ERR_OVERLOADED) /* suspends */
        process_sample(&samples);
    rq.kernel->sample(&rq, &samples); /* suspends */
    struct settings *settings = settings_ref(kernel_worker_of(x->task)->settings);
    if (settings->metrics != NULL && /* else they have just been turned off, and we are cut off */
        http_reply_start(x, 200, &type, 1, HTTP_LENGTH_UNKNOWN) == OK &&
        exposition_write(settings->metrics, &samples, rq.arena, put, x) == OK)
        (void)http_reply_end(x); /* nothing follows that it could spoil */
    settings_unref(settings);
}
