/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way to the application; see deliver.h. */
#include "api/deliver.h"

#include "api/cloudevent.h"
#include "api/deliver_bulk.h"
#include "api/deliver_grpc.h"
#include "api/deliver_headers.h"
#include "api/delivery.h"
#include "api/publish.h"
#include "api/trace.h"
#include "app/app_http.h"
#include "app/grpc_app.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "cel/cel.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "resiliency/run.h"
#include "telemetry/metrics.h"
#include "telemetry/trace_context.h"

#define SCOPE "dapr.runtime.processor.subscription"

enum { MESSAGE_BUDGET_BYTES = 1024 * 1024, LOGGED_BYTES_MAX = 1024 };

/* --- verdicts ----------------------------------------------------------------------------------*/

/* The `status` of an answer's body; data NULL if it has none. */
static struct slice
status_of(struct request *rq, struct slice body)
{
    struct json json;
    struct slice name, raw, status = { 0 };
    json_init(&json, body);
    if (json_peek(&json) != JSON_OBJECT)
        return status;
    json_enter(&json);
    while (json_object_next(&json, rq->arena, &name)) {
        if (slice_eq_nocase(name, SLICE("status")) && json_peek(&json) == JSON_STRING) {
            if (!json_string(&json, rq->arena, &status))
                break;
        } else if (!json_skip(&json, &raw)) {
            break;
        }
    }
    return json.failed || !json_end(&json) ? (struct slice){ 0 } : status;
}

enum verdict
delivery_verdict_of(struct slice status, struct slice event_id)
{
    if (status.len == 0 || slice_eq(status, SLICE("SUCCESS")))
        return VERDICT_SUCCESS;
    if (slice_eq(status, SLICE("DROP"))) {
        log_warn(SCOPE, "DROP status returned from app while processing pub/sub event " SLICE_FMT,
                 SLICE_ARG(event_id));
        return VERDICT_DROP;
    }
    if (slice_eq(status, SLICE("RETRY")))
        log_error(SCOPE,
                  "RETRY status returned from app while processing pub/sub event " SLICE_FMT
                  ": retriable error occurred",
                  SLICE_ARG(event_id));
    else
        log_error(SCOPE,
                  "unknown status returned from app while processing pub/sub event " SLICE_FMT
                  ", status: " SLICE_FMT ", err: retriable error occurred",
                  SLICE_ARG(event_id), SLICE_ARG(slice_first(status, 64)));
    return VERDICT_RETRY;
}

/* What an application says of an event over HTTP. */
static enum verdict
verdict_of_http(struct request *rq, struct slice topic, int status, struct slice body,
                struct slice event_id)
{
    struct slice words = slice_first(body, LOGGED_BYTES_MAX);
    if (status >= 200 && status < 300)
        return delivery_verdict_of(status_of(rq, body), event_id);
    if (status == 404) {
        log_error(SCOPE,
                  "non-retriable error returned from app while processing pub/sub event " SLICE_FMT
                  ": " SLICE_FMT ". status code returned: 404",
                  SLICE_ARG(event_id), SLICE_ARG(words));
        return VERDICT_DROP;
    }
    log_warn(SCOPE,
             "retriable error returned from app while processing pub/sub event " SLICE_FMT
             ", topic: " SLICE_FMT ", body: " SLICE_FMT ". status code returned: %d",
             SLICE_ARG(event_id), SLICE_ARG(topic), SLICE_ARG(words), status);
    return VERDICT_RETRY;
}

/* --- the application ---------------------------------------------------------------------------*/

static err_t
ask_http(struct delivery *d, int *ret_status, struct slice *ret_body)
{
    struct request *rq = d->rq;
    struct http_header headers[1 + DELIVER_HEADERS_MAX];
    headers[0] = (struct http_header){ SLICE("Content-Type"), CLOUDEVENT_CONTENT_TYPE };
    size_t count = 1 + deliver_headers(rq, d->subscription->spec, d->message, &d->event, false,
                                       headers + 1);
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = deliver_target(rq->arena, d->path),
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = (int64_t)d->envelope.len };
    return app_http_ask(rq->task, &kernel_worker_of(rq->task)->app, &head, d->envelope,
                        LIMIT_topic_answer_bytes, ret_status, ret_body); /* suspends */
}

/* A code counts only where it asks for the event again; that can also stand in the body of a good
 * answer, which is a failure without a code; so is a redirect, whose code is none of an error. */
static err_t
answered(const struct delivery *d, struct attempt *attempt, enum answer_kind kind, int code,
         bool code_says_so)
{
    if (d->verdict != VERDICT_RETRY)
        return OK;
    if (!code_says_so)
        return ERR_PEER_FAILED;
    attempt->answer = kind;
    attempt->code = code;
    return OK;
}

static err_t
to_grpc(struct delivery *d, struct attempt *attempt)
{
    enum grpc_code code = GRPC_OK;
    err_t err = deliver_grpc(d->rq, d->subscription->spec, d->message, &d->event, d->path,
                             &d->verdict, &code); /* suspends */
    if (err != OK)
        return err;
    d->is_refused = code == GRPC_UNIMPLEMENTED;
    return answered(d, attempt, ANSWER_GRPC, (int)code, code != GRPC_OK);
}

static err_t
to_app(struct delivery *d, struct attempt *attempt)
{
    struct app *app = kernel_worker_of(d->rq->task)->app.app;
    struct slice body = SLICE_EMPTY;
    int status = 0;
    if (app == NULL || app_settings(app)->port == 0)
        return DIAG_FAIL(task_diag(d->rq->task), ERR_PEER_UNREACHABLE,
                         "app channel is not initialized");
    if (app_is_grpc(app_settings(app)->protocol))
        return to_grpc(d, attempt);          /* suspends */
    err_t err = ask_http(d, &status, &body); /* suspends */
    if (err != OK)
        return err;
    d->verdict = verdict_of_http(d->rq, d->subscription->spec->topic, status, body, d->id);
    return answered(d, attempt, ANSWER_HTTP, status, status >= 400);
}

/* Where nobody is, nobody need be asked again: the broker will. */
static err_t
to_taker(struct delivery *d, struct attempt *attempt)
{
    struct subscription *subscription = d->subscription;
    if (d->packed.len == 0)
        d->packed = deliver_grpc_pack(d->rq->arena, subscription->spec, &d->event, d->path);
    const struct topic_event event = { d->id, d->packed };
    err_t err = subscription->taker->take(d->rq, subscription, &event, &d->verdict); /* suspends */
    attempt->is_final = err == ERR_CLOSED;
    d->was_seen = d->was_seen || err != ERR_CLOSED;
    return err == OK && d->verdict == VERDICT_RETRY ? ERR_PEER_FAILED : err;
}

static err_t
try_once(struct task *t, void *arg, struct attempt *attempt)
{
    struct delivery *d = arg;
    (void)t;
    d->verdict = VERDICT_RETRY;
    if (d->subscription->taker != NULL)
        return to_taker(d, attempt); /* suspends */
    d->was_seen = true;
    return to_app(d, attempt); /* suspends */
}

/* --- what becomes of it ------------------------------------------------------------------------*/

void
delivery_count(const struct delivery *d, const char *process_status, const char *status,
               uint64_t took_ns)
{
    const struct topic_spec *spec = d->subscription->spec;
    const struct slice labels[] = { spec->pubsub, d->rq->kernel->namespace_,
                                    slice_str(process_status), slice_str(status), spec->topic };
    metrics_record(metrics_series(METRICS_component_pubsub_ingress, labels), took_ns);
}

/* True: it is among the dead letters, so the broker is done with it. */
static bool
bury(struct delivery *d)
{
    const struct topic_spec *spec = d->subscription->spec;
    struct request *rq = d->rq;
    const struct pair metadata[] = { { SLICE("pubsubName"), spec->pubsub } };
    const struct publish_message letter = { .pubsub = spec->pubsub,
                                            .topic = spec->dead_letter_topic,
                                            .content_type = CLOUDEVENT_CONTENT_TYPE,
                                            .data = d->message->data,
                                            .metadata = metadata,
                                            .metadata_count = 1 };
    if (spec->dead_letter_topic.len == 0)
        return false;
    if (publish_bytes(rq, &letter) == OK) /* suspends */
        return true;
    log_error(SCOPE,
              "failed to send message to dead letter queue for topic " SLICE_FMT ": " SLICE_FMT,
              SLICE_ARG(spec->topic), SLICE_ARG(task_diag(rq->task)->message));
    return false;
}

/* Not handled and not to be handled again. */
static enum verdict
drop(struct delivery *d, uint64_t started_ns)
{
    bool is_buried = bury(d); /* suspends */
    delivery_count(d, "drop", "drop", clock_now_ns() - started_ns);
    return is_buried || d->subscription->spec->dead_letter_topic.len == 0 ? VERDICT_DROP
                                                                          : VERDICT_RETRY;
}

/* A message that fails because we are ending is nobody's fault: the next process gets it. */
static bool
is_our_end(const struct request *rq)
{
    return atomic_load_explicit(&rq->kernel->is_ending, memory_order_relaxed) ||
           task_is_cancelled(rq->task);
}

enum verdict
delivery_settle(struct delivery *d, err_t err, uint64_t started_ns)
{
    if (err == OK && d->verdict != VERDICT_RETRY) {
        bool is_done = d->verdict == VERDICT_SUCCESS;
        if (!is_done && !d->is_refused)
            return drop(d, started_ns); /* suspends */
        const char *status = is_done ? "success" : "drop";
        delivery_count(d, status, status, clock_now_ns() - started_ns);
        return d->verdict;
    }
    bool was_nobody_there = err == ERR_CLOSED && !d->was_seen;
    if (err != OK && err != ERR_PEER_FAILED && !was_nobody_there)
        log_error(SCOPE,
                  "error returned from app channel while sending pub/sub event to app: retriable "
                  "error occurred: " SLICE_FMT,
                  SLICE_ARG(task_diag(d->rq->task)->message));
    if (!was_nobody_there && !is_our_end(d->rq) && bury(d)) { /* suspends */
        delivery_count(d, "drop", "drop", clock_now_ns() - started_ns);
        return VERDICT_DROP;
    }
    delivery_count(d, "retry", "retry", clock_now_ns() - started_ns);
    return VERDICT_RETRY;
}

/* --- on its way --------------------------------------------------------------------------------*/

/* The event's own context goes on. */
static void
take_trace(struct delivery *d)
{
    struct request *rq = d->rq;
    struct slice parent = cloudevent_text(&d->event, SLICE("traceparent"));
    if (parent.len == 0) /* as with events of the outbox */
        parent = cloudevent_text(&d->event, SLICE("traceid"));
    struct slice state = cloudevent_text(&d->event, SLICE("tracestate"));
    struct trace_context context;
    if (parent.data == NULL || !trace_context_parse(parent, &context))
        return;
    rq->traceparent = parent;
    if (state.data != NULL && tracestate_is_valid(state))
        rq->tracestate = state;
}

/* False: it cannot be read, which another try would not change. */
static bool
unwrap(struct delivery *d)
{
    struct request *rq = d->rq;
    const struct topic_spec *spec = d->subscription->spec;
    struct slice topic = d->message->topic.len > 0 ? d->message->topic : spec->topic;
    d->envelope = d->message->data;
    if (spec->is_raw) {
        cloudevent_wrap(&d->event, rq->arena, spec->pubsub, topic, d->message->data);
        d->envelope = cloudevent_write(&d->event);
    } else if (cloudevent_read(&d->event, rq->arena, d->message->data, task_diag(rq->task)) != OK) {
        log_error(SCOPE,
                  "error deserializing cloud event in pubsub " SLICE_FMT " and topic " SLICE_FMT
                  ": " SLICE_FMT,
                  SLICE_ARG(spec->pubsub), SLICE_ARG(spec->topic),
                  SLICE_ARG(task_diag(rq->task)->message));
        return false;
    }
    d->id = cloudevent_text(&d->event, SLICE("id"));
    if (d->id.data == NULL)
        d->id = SLICE_EMPTY;
    take_trace(d);
    return true;
}

/* The path of the first rule that matches; empty: none does. */
static struct slice
route(const struct delivery *d)
{
    const struct topic_spec *spec = d->subscription->spec;
    for (size_t i = 0; i < spec->rule_count; i++) {
        const struct topic_rule *rule = &spec->rules[i];
        if (rule->program == NULL ||
            cel_matches(rule->program, d->rq->arena, d->envelope) == CEL_TRUE)
            return rule->path;
    }
    return SLICE_EMPTY;
}

bool
delivery_prepare(struct delivery *d, uint64_t started_ns, enum verdict *ret_verdict)
{
    const struct topic_spec *spec = d->subscription->spec;
    if (!unwrap(d)) {
        *ret_verdict = drop(d, started_ns); /* suspends */
        return false;
    }
    if (!spec->is_raw && cloudevent_is_expired(&d->event, clock_unix_ms())) {
        log_warn(SCOPE, "dropping expired pub/sub event " SLICE_FMT, SLICE_ARG(d->id));
        *ret_verdict = drop(d, started_ns); /* suspends */
        return false;
    }
    d->path = d->subscription->taker == NULL ? route(d) : SLICE("/");
    if (d->path.len > 0)
        return true;
    log_warn(SCOPE,
             "no matching route for event " SLICE_FMT " in pubsub " SLICE_FMT
             " and topic " SLICE_FMT "; skipping",
             SLICE_ARG(d->id), SLICE_ARG(spec->pubsub), SLICE_ARG(spec->topic));
    *ret_verdict = drop(d, started_ns); /* suspends */
    return false;
}

err_t
delivery_run(struct request *rq, const struct subscription *subscription, attempt_fn *attempt,
             void *arg)
{
    struct resiliency_target target;
    resiliency_for_component(settings_of(rq->task)->resiliency, subscription->spec->pubsub,
                             "Pubsub", RESILIENCY_INBOUND, &target);
    const struct run run = { .target = &target,
                             .is_replayable = true,
                             .is_ending = &rq->kernel->is_ending };
    return resiliency_run(rq->task, &run, attempt, arg); /* suspends */
}

/* One message, all the way. SUCCESS and DROP: the broker is done with it. */
static enum verdict
deliver_message(struct request *rq, struct subscription *subscription,
                const struct pubsub_message *message)
{
    struct delivery d = { .rq = rq, .subscription = subscription, .message = message };
    uint64_t started_ns = clock_now_ns();
    enum verdict verdict;
    if (!delivery_prepare(&d, started_ns, &verdict)) /* suspends */
        return verdict;
    err_t err = delivery_run(rq, subscription, try_once, &d); /* suspends */
    return delivery_settle(&d, err, started_ns);              /* suspends */
}

/* --- the plugin's call -------------------------------------------------------------------------*/

static const struct pair *
pairs_of(struct arena *arena, Remora__Plugin__V1__Pair *const *from, size_t count)
{
    struct pair *pairs = ARENA_ARRAY(arena, struct pair, count + 1);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct pair){ slice_str(from[i]->name), slice_str(from[i]->value) };
    return pairs;
}

static void
refuse(struct request *rq, struct host_call *call, enum grpc_code code, const char *words)
{
    const struct frame_status status = { .code = (uint32_t)code, .message = slice_str(words) };
    host_call_reply(rq->task, call, &status, SLICE_EMPTY, SLICE_EMPTY);
}

static void
reply(struct request *rq, struct host_call *call, const enum verdict *verdicts, size_t count)
{
    Remora__Plugin__V1__HostDeliverReply out = REMORA__PLUGIN__V1__HOST_DELIVER_REPLY__INIT;
    out.verdicts = ARENA_ARRAY(rq->arena, Remora__Plugin__V1__Verdict, count + 1);
    out.n_verdicts = count;
    for (size_t i = 0; i < count; i++)
        out.verdicts[i] = verdicts[i] == VERDICT_RETRY ? REMORA__PLUGIN__V1__VERDICT__VERDICT_RETRY
                                                       : REMORA__PLUGIN__V1__VERDICT__VERDICT_DONE;
    host_call_reply(rq->task, call, NULL, pb_pack(rq->arena, &out.base), SLICE_EMPTY);
}

/* False: the lengths do not add up. */
static bool
take_messages(struct request *rq, const struct host_call *call,
              const Remora__Plugin__V1__HostDeliver *in, struct pubsub_message *messages)
{
    struct slice rest = host_call_body(call);
    for (size_t i = 0; i < in->n_messages; i++) {
        const Remora__Plugin__V1__PubsubMessage *from = in->messages[i];
        if (from->data_bytes > rest.len)
            return false;
        messages[i] = (struct pubsub_message){
            .id = slice_str(from->id),
            .topic = slice_str(from->topic),
            .content_type = slice_str(from->content_type),
            .metadata = pairs_of(rq->arena, from->metadata, from->n_metadata),
            .metadata_count = from->n_metadata,
            .data = slice_first(rest, (size_t)from->data_bytes),
        };
        rest = slice_from(rest, (size_t)from->data_bytes);
    }
    return rest.len == 0;
}

static void
deliver_all(struct request *rq, struct host_call *call, struct subscription *subscription,
            const Remora__Plugin__V1__HostDeliver *in)
{
    struct pubsub_message *messages = ARENA_ARRAY(rq->arena, struct pubsub_message, in->n_messages);
    enum verdict *verdicts = ARENA_ARRAY(rq->arena, enum verdict, in->n_messages);
    if (!take_messages(rq, call, in, messages)) {
        refuse(rq, call, GRPC_INVALID_ARGUMENT, "the lengths of the messages do not add up");
        return;
    }
    const struct topic_taker *taker = subscription->taker;
    if (subscription->spec->is_bulk && taker == NULL)
        deliver_bulk(rq, subscription, messages, in->n_messages, verdicts); /* suspends */
    else if (taker != NULL && taker->judge != NULL)
        for (size_t i = 0; i < in->n_messages; i++)
            verdicts[i] = taker->judge(rq, subscription, &messages[i]); /* suspends */
    else
        for (size_t i = 0; i < in->n_messages; i++)
            verdicts[i] = deliver_message(rq, subscription, &messages[i]); /* suspends */
    reply(rq, call, verdicts, in->n_messages);
}

void
deliver_messages(struct request *rq, struct host_call *call)
{
    const Remora__Plugin__V1__HostDeliver *in = pb_unpack(
        rq->arena, &remora__plugin__v1__host_deliver__descriptor, host_call_message(call),
        LIMIT_frame_depth_max, MESSAGE_BUDGET_BYTES);
    struct subscription *subscription = in == NULL ? NULL : subscription_find(in->subscription);
    if (in == NULL || in->n_messages == 0)
        refuse(rq, call, GRPC_INVALID_ARGUMENT, "malformed HostDeliver");
    else if (subscription == NULL || subscription->link != call->link)
        refuse(rq, call, GRPC_FAILED_PRECONDITION, "there is no such subscription");
    else
        deliver_all(rq, call, subscription, in); /* suspends */
    subscription_unref(subscription);
}
