/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SubscribeTopicEventsAlpha1: a client subscribes to a topic with its first message, is sent events
 * and answers each by its id, in any order. The handler's task writes, a second one reads. The
 * stream ends when the client has sent everything or is gone, when it breaks the rules, and, once
 * what it has been sent is answered, when the process ends.
 */
#include "api/topic_stream.h"
#include "async/worker.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/pubsub.pb-c.h"
#include "surface/grpc_surface.h"

#define SCOPE "dapr.runtime.pubsub.streamer"

typedef Dapr__Proto__Runtime__V1__SubscribeTopicEventsRequestAlpha1 request_t;
typedef Dapr__Proto__Runtime__V1__SubscribeTopicEventsRequestInitialAlpha1 initial_t;

#define REQUEST &dapr__proto__runtime__v1__subscribe_topic_events_request_alpha1__descriptor

/* Fields of SubscribeTopicEventsRequestAlpha1 and SubscribeTopicEventsResponseAlpha1. */
enum { REQUEST_INITIAL = 1, REQUEST_PROCESSED = 2, RESPONSE_INITIAL = 1, RESPONSE_EVENT = 2 };

enum { ENVELOPE_BYTES = 64 * 1024 }; /* around data that could just be published */

/* A task beside the handler's; it uses the handler's stack. */
struct aide {
    struct task *task; /* NULL: not begun, or over */
    bool is_awaited;
    struct wait wait;
};

struct subscribing {
    struct rpc *rpc;
    struct topic_stream *stream;
    struct aide reader;
    struct aide finisher; /* when the process ends */
    bool was_answered_oddly;
    /* How it ends: the first reason counts. */
    bool has_ended;
    enum grpc_code code;
    struct slice words;
};

/* --- beside the handler ------------------------------------------------------------------------*/

static bool
aide_start(struct subscribing *s, struct aide *aide, task_fn *fn)
{
    aide->task = task_spawn(task_worker(s->rpc->rq.task), "subscription stream", fn, s);
    return aide->task != NULL;
}

static void
aide_over(struct aide *aide)
{
    aide->task = NULL;
    if (aide->is_awaited)
        wait_done(&aide->wait, OK);
}

static void
aide_end(struct task *t, struct aide *aide)
{
    if (aide->task == NULL)
        return;
    task_cancel(aide->task);
    wait_init(&aide->wait, t, NULL);
    aide->is_awaited = true;
    (void)!TASK_WAIT_OUT(t, &aide->wait); /* it ends at once, with OK */
}

/* --- what the client sends ---------------------------------------------------------------------*/

static bool
end_with(struct subscribing *s, enum grpc_code code, struct slice words)
{
    if (!s->has_ended) {
        s->has_ended = true;
        s->code = code;
        s->words = arena_dup(s->rpc->rq.arena, words);
    }
    return false;
}

static void
say_unknown(struct subscribing *s)
{
    LOG_AT(s->was_answered_oddly ? LOG_DEBUG : LOG_WARN, SCOPE,
           "a subscriber has answered an event that it has not been sent, or whose time is over");
    s->was_answered_oddly = true; /* a client may say it a thousand times: the log need not */
}

/* SubscribeTopicEventsRequestProcessedAlpha1 { id = 1, status = 2 } */
static bool
take_answer(struct subscribing *s, struct slice bytes)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct slice id = SLICE_EMPTY, response = SLICE_EMPTY;
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            id = wire_bytes(&r, &f);
        else if (f.field == 2)
            response = wire_bytes(&r, &f);
    }
    if (r.is_bad)
        return end_with(s, GRPC_INTERNAL, RPC_MALFORMED);
    if (!topic_stream_answer(s->stream, id, response))
        say_unknown(s);
    return true;
}

static bool
take_message(struct subscribing *s, struct slice bytes)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct slice processed = SLICE_EMPTY;
    bool is_answer = false;
    while (wire_next(&r, &f)) {
        if (f.field != REQUEST_INITIAL && f.field != REQUEST_PROCESSED)
            continue;
        is_answer = f.field == REQUEST_PROCESSED;
        processed = wire_bytes(&r, &f);
    }
    if (r.is_bad)
        return end_with(s, GRPC_INTERNAL, RPC_MALFORMED);
    if (!is_answer)
        return end_with(s, GRPC_INVALID_ARGUMENT, SLICE("duplicate initial request received"));
    return take_answer(s, processed);
}

static bool
is_ending(const struct subscribing *s)
{
    return atomic_load_explicit(&s->rpc->rq.kernel->is_ending, memory_order_relaxed);
}

/* False: there is none; why is in the code. */
static bool
read_message(struct subscribing *s, struct slice *ret_bytes)
{
    struct grpc_call *call = &s->rpc->call;
    bool has_message;
    err_t err;
    do
        err = grpc_await(call);                  /* suspends */
    while (err == ERR_DEADLINE && is_ending(s)); /* an answer may still come */
    if (err != OK)
        return end_with(s, GRPC_CANCELLED, SLICE("the stream could not be read"));
    if (!grpc_read(call, ret_bytes, &has_message)) /* suspends */
        return end_with(s, call->code, call->message);
    return has_message || end_with(s, GRPC_OK, SLICE_EMPTY);
}

static void
reader_main(struct task *t, void *arg)
{
    struct subscribing *s = arg;
    struct slice bytes;
    while (read_message(s, &bytes) && take_message(s, bytes)) /* suspends */
        arena_reset(task_arena(t)); /* a stream may last: what came in pieces is not kept */
    topic_stream_end(s->stream);
    aide_over(&s->reader);
}

/* --- what it is sent ---------------------------------------------------------------------------*/

static void
finisher_main(struct task *t, void *arg)
{
    struct subscribing *s = arg;
    topic_stream_finish(t, s->stream); /* suspends */
    (void)end_with(s, GRPC_UNAVAILABLE, SLICE("stream closed"));
    topic_stream_end(s->stream);
    aide_over(&s->finisher);
}

static err_t
send_event(struct subscribing *s, struct slice packed)
{
    struct grpc_call *call = &s->rpc->call;
    char head[WIRE_HEAD_MAX];
    struct slice front = slice_of(head,
                                  (size_t)(wire_put_head(head, RESPONSE_EVENT, packed.len) - head));
    err_t err = grpc_message_begin(call, front.len + packed.len); /* these suspend */
    if (err == OK)
        err = grpc_message_write(call, front);
    return err == OK && packed.len > 0 ? grpc_message_write(call, packed) : err;
}

/* Until the stream is over, or there is nobody to write to. */
static err_t
send_events(struct subscribing *s, struct buf *event)
{
    err_t err = OK;
    bool has_event, is_finishing = false;
    while (err == OK) {
        if (!is_finishing && is_ending(s)) {
            is_finishing = true;
            if (!aide_start(s, &s->finisher, finisher_main))
                return ERR_OVERLOADED; /* what is unanswered comes again elsewhere */
        }
        err = topic_stream_next(s->rpc->rq.task, s->stream, event, &has_event); /* suspends */
        if (err == OK && has_event)
            err = send_event(s, buf_slice(event)); /* suspends */
        buf_clear(event);
        buf_release(event);
    }
    return err;
}

/* --- the call ----------------------------------------------------------------------------------*/

/* False: the call has been ended. */
static bool
open_stream(struct subscribing *s)
{
    struct rpc *rpc = s->rpc;
    const request_t *in = rpc_request(rpc, REQUEST); /* suspends */
    if (in == NULL)
        return false;
    bool is_initial = (int)in->subscribe_topic_events_request_type_case == REQUEST_INITIAL;
    const initial_t *initial = is_initial ? in->initial_request : NULL;
    struct slice wrong = initial == NULL                   ? SLICE("initial request is required")
                         : initial->pubsub_name[0] == '\0' ? SLICE("pubsubName is required")
                         : initial->topic[0] == '\0'       ? SLICE("topic is required")
                                                           : SLICE_EMPTY;
    if (wrong.len > 0) {
        rpc_end(rpc, GRPC_INVALID_ARGUMENT, wrong);
        return false;
    }
    struct topic_stream_wish wish = { .pubsub = slice_str(initial->pubsub_name),
                                      .topic = slice_str(initial->topic),
                                      .dead_letter_topic = slice_str(initial->dead_letter_topic),
                                      .metadata_count = initial->n_metadata };
    RPC_PAIRS(rpc->rq.arena, initial->metadata, initial->n_metadata, &wish.metadata);
    if (topic_stream_open(&rpc->rq, &wish, &s->stream) == OK) /* suspends */
        return true;
    rpc_fail(rpc);
    return false;
}

/* Why nothing is sent any more, where the stream has not ended with a reason of its own. */
static void
note_end(struct subscribing *s, err_t err)
{
    if (err == ERR_DEADLINE)
        (void)end_with(s, GRPC_DEADLINE_EXCEEDED, SLICE("the subscription's time is over"));
    else if (err == ERR_OVERLOADED)
        (void)end_with(s, GRPC_RESOURCE_EXHAUSTED, SLICE("too many requests at a time"));
    else
        (void)end_with(s, GRPC_CANCELLED, SLICE("the subscription was cancelled"));
}

void
grpc_subscribe(struct rpc *rpc)
{
    static const char initial[] = { RESPONSE_INITIAL << 3 | WIRE_BYTES, 0 };
    struct subscribing s = { .rpc = rpc, .code = GRPC_OK, .words = SLICE_EMPTY };
    struct task *t = rpc->rq.task;
    struct buf event;
    rpc->call.x->is_passed_on = true;
    rpc->call.answers_gzip = false; /* a copy of every event would stay */
    if (!open_stream(&s))           /* suspends */
        return;
    if (rpc->call.message_bytes_max < SIZE_MAX - ENVELOPE_BYTES)
        rpc->call.message_bytes_max += ENVELOPE_BYTES;
    buf_init(&event, rpc->call.message_bytes_max - WIRE_HEAD_MAX);
    err_t err = grpc_send(&rpc->call, slice_of(initial, sizeof initial)); /* suspends */
    if (err == OK && !aide_start(&s, &s.reader, reader_main))
        err = ERR_OVERLOADED;
    if (err == OK)
        err = send_events(&s, &event); /* suspends */
    note_end(&s, err);
    topic_stream_end(s.stream);
    aide_end(t, &s.finisher); /* these suspend */
    aide_end(t, &s.reader);
    topic_stream_close(t, s.stream);
    buf_fini(&event);
    rpc_end(rpc, s.code, s.words);
}
