/* SPDX-License-Identifier: Apache-2.0 */
/* See stream.h. */
#include "stream.h"

#include <string.h>
#include <sys/queue.h>

#include "../shared/memory.h"
#include "failure.h"

static const double PAUSE_S_FIRST = 0.1, PAUSE_S_MAX = 5.0;
static const double FAREWELL_S = 0.5; /* the component ends the stream, having read what came */

TAILQ_HEAD(flight_list, flight);

struct flight {
    struct stream *stream; /* NULL: it is gone */
    TAILQ_ENTRY(flight) link;
    unsigned epoch; /* of the stream that it came in */
    char *id;
};

struct stream {
    struct remote *remote;
    struct stream *next;
    const struct stream_kind *kind;
    uint64_t id;
    char *first; /* NULL: nothing is said first */
    size_t first_bytes;
    uint32_t window;
    uint32_t in_flight;
    unsigned epoch; /* counts how often it was opened */
    struct rpc *rpc;
    bool is_stopping, is_finished; /* nothing more is sent */
    bool is_silent;                /* its failure has been logged */
    remora_call *stop_call;
    double pause_s;
    ev_timer timer; /* until it is opened again, or given up */
    struct flight_list flights;
};

static void open_now(struct stream *stream);

/* --- ends --------------------------------------------------------------------------------------*/

static void
answer_quiesce(struct remote *remote)
{
    remora_call *call = remote->quiesce_call;
    if (call == NULL || remote->streams != NULL)
        return;
    remote->quiesce_call = NULL;
    remora_reply_ok(call);
}

static void
stream_free(struct stream *stream)
{
    struct remote *remote = stream->remote;
    struct stream **at = &remote->streams;
    struct flight *flight;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    TAILQ_FOREACH(flight, &stream->flights, link)
    flight->stream = NULL;
    rpc_cancel(stream->rpc);
    ev_timer_stop(remora_loop(), &stream->timer);
    if (stream->stop_call != NULL)
        remora_reply_ok(stream->stop_call);
    free(stream->first);
    free(stream);
    answer_quiesce(remote);
}

static void
start_timer(struct stream *stream, double after_s)
{
    ev_timer_stop(remora_loop(), &stream->timer);
    ev_timer_set(&stream->timer, after_s, 0.);
    ev_timer_start(remora_loop(), &stream->timer);
}

/* It may be gone afterwards. */
static void
stop_if_idle(struct stream *stream)
{
    if (!stream->is_stopping || stream->in_flight > 0)
        return;
    if (stream->rpc == NULL) {
        stream_free(stream);
        return;
    }
    stream->is_finished = true;
    rpc_finish(stream->rpc);
    start_timer(stream, FAREWELL_S);
}

static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct stream *stream = timer->data;
    ev_timer_stop(loop, timer);
    if (stream->is_finished)
        stream_free(stream);
    else
        open_now(stream);
}

/* --- what comes in -----------------------------------------------------------------------------*/

static void
flight_free(struct flight *flight)
{
    if (flight->stream != NULL)
        TAILQ_REMOVE(&flight->stream->flights, flight, link);
    free(flight->id);
    free(flight);
}

static void
on_message(void *arg, struct remora_slice message)
{
    struct stream *stream = arg;
    if (stream->is_stopping)
        return; /* neither acknowledged nor refused */
    struct flight *flight = memory_new(sizeof *flight);
    flight->stream = stream;
    flight->epoch = stream->epoch;
    TAILQ_INSERT_TAIL(&stream->flights, flight, link);
    stream->in_flight++;
    stream->pause_s = PAUSE_S_FIRST;
    stream->is_silent = false;
    if (!stream->kind->hand_over(stream, flight, message)) {
        remora_log(REMORA_WARN, "component %s: a message of its stream is malformed",
                   stream->remote->name);
        stream->in_flight--;
        flight_free(flight);
    }
    if (stream->in_flight >= stream->window)
        rpc_pause(stream->rpc);
}

static void
on_end(void *arg, const struct rpc_end *end)
{
    struct stream *stream = arg;
    char words[RPC_WORDS_BYTES_MAX];
    stream->rpc = NULL;
    if (stream->is_finished) {
        stream_free(stream);
        return;
    }
    if (stream->is_stopping) {
        stop_if_idle(stream);
        return;
    }
    failure_words(end, words, sizeof words);
    if (!stream->is_silent)
        remora_log(REMORA_WARN, "component %s: its stream has ended: %s, opening it again",
                   stream->remote->name, words);
    stream->is_silent = true;
    start_timer(stream, stream->pause_s);
    stream->pause_s = stream->pause_s * 2 < PAUSE_S_MAX ? stream->pause_s * 2 : PAUSE_S_MAX;
}

void
flight_land(struct flight *flight, struct remora_slice acknowledgement)
{
    struct stream *stream = flight->stream;
    if (stream == NULL) {
        flight_free(flight);
        return;
    }
    const bool is_here = stream->rpc != NULL && flight->epoch == stream->epoch;
    flight_free(flight);
    stream->in_flight--;
    if (is_here)
        rpc_send(stream->rpc, acknowledgement);
    if (stream->rpc != NULL && stream->in_flight < stream->window)
        rpc_resume(stream->rpc);
    stop_if_idle(stream);
}

void
flight_set_id(struct flight *flight, const char *id)
{
    flight->id = memory_text(id);
}

const char *
flight_id(const struct flight *flight)
{
    return flight->id;
}

/* --- life --------------------------------------------------------------------------------------*/

uint64_t
stream_id(const struct stream *stream)
{
    return stream->id;
}

struct remora_slice
stream_first(const struct stream *stream)
{
    return (struct remora_slice){ stream->first, stream->first_bytes };
}

static void
open_now(struct stream *stream)
{
    const struct rpc_request request = {
        .method = stream->kind->method,
        .timeout_ms = UINT64_MAX,
        .done = on_end,
        .message = on_message,
        .arg = stream,
    };
    if (stream->rpc != NULL || stream->is_stopping)
        return;
    ev_timer_stop(remora_loop(), &stream->timer);
    stream->epoch++;
    stream->rpc = rpc_start(stream->remote->channel, &request, stream_first(stream));
    if (stream->in_flight >= stream->window) /* of the time before */
        rpc_pause(stream->rpc);
}

void
stream_open(struct remote *remote, const struct stream_kind *kind, uint64_t id,
            struct remora_slice first, uint32_t window)
{
    struct stream *stream = memory_new(sizeof *stream);
    stream->remote = remote;
    stream->kind = kind;
    stream->id = id;
    stream->window = window;
    stream->pause_s = PAUSE_S_FIRST;
    TAILQ_INIT(&stream->flights);
    ev_timer_init(&stream->timer, on_timer, 0., 0.);
    stream->timer.data = stream;
    if (first.data != NULL) {
        stream->first = memory_new(first.len + 1);
        memcpy(stream->first, first.data, first.len);
        stream->first_bytes = first.len;
    }
    stream->next = remote->streams;
    remote->streams = stream;
    open_now(stream);
}

static void
stop(struct stream *stream, remora_call *call)
{
    stream->is_stopping = true;
    stream->stop_call = call;
    ev_timer_stop(remora_loop(), &stream->timer);
    stop_if_idle(stream);
}

void
stream_stop(struct remote *remote, uint64_t id, remora_call *call)
{
    for (struct stream *stream = remote->streams; stream != NULL; stream = stream->next)
        if (stream->id == id && !stream->is_stopping) {
            stop(stream, call);
            return;
        }
    remora_reply_error(call, REMORA_NOT_FOUND, "nothing of that number is read here");
}

void
streams_stop(struct remote *remote, remora_call *call)
{
    struct stream *next;
    remote->quiesce_call = call;
    for (struct stream *stream = remote->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (!stream->is_stopping)
            stop(stream, NULL);
    }
    answer_quiesce(remote);
}

void
streams_open(struct remote *remote)
{
    for (struct stream *stream = remote->streams; stream != NULL; stream = stream->next)
        open_now(stream);
}

void
streams_free(struct remote *remote)
{
    struct stream *next;
    for (struct stream *stream = remote->streams; stream != NULL; stream = next) {
        next = stream->next;
        stream_free(stream);
    }
}
