/* SPDX-License-Identifier: Apache-2.0 */
/* One call: its messages (gRPC's five bytes in front of each), its end, its deadline. */
#include <stdio.h>
#include <string.h>

#include "../shared/base64.h"
#include "../shared/memory.h"
#include "channel_internal.h"

enum { PREFIX_BYTES = 5 };

/* --- notes -------------------------------------------------------------------------------------*/

void
rpc_note(struct rpc *rpc)
{
    if (!rpc->is_noted)
        TAILQ_INSERT_TAIL(&rpc->channel->noted, rpc, noted);
    rpc->is_noted = true;
    channel_wake(rpc->channel);
}

/* Lets the stream go: whatever comes for it is nobody's. */
static void
detach(struct rpc *rpc)
{
    struct channel *channel = rpc->channel;
    if (rpc->stream < 0)
        return;
    (void)nghttp2_session_set_stream_user_data(channel->session, rpc->stream, NULL);
    /* Fails for lack of memory only; then the stream goes with the connection. */
    (void)nghttp2_submit_rst_stream(channel->session, NGHTTP2_FLAG_NONE, rpc->stream,
                                    NGHTTP2_CANCEL);
    rpc->stream = -1;
    channel_wake(channel);
}

/* The first reason is the one that is told. */
static void
conclude(struct rpc *rpc, enum remora_code code, enum remora_effect effect, const char *words)
{
    if (rpc->is_closed)
        return;
    rpc->is_closed = true;
    if (!rpc->has_status) {
        rpc->code = code;
        rpc->effect = effect;
        free(rpc->words);
        rpc->words = memory_text(words);
    }
    rpc_note(rpc);
}

void
rpc_fail(struct rpc *rpc, enum remora_code code, enum remora_effect effect, const char *words)
{
    detach(rpc);
    rpc->has_status = rpc->has_answer = false;
    rpc->is_lost = true;
    conclude(rpc, code, effect, words);
    ev_timer_stop(remora_loop(), &rpc->deadline);
}

void
rpc_on_lost(struct rpc *rpc, const char *why)
{
    rpc->stream = -1; /* there is no session any more */
    if (rpc->is_closed)
        return;
    rpc->is_lost = true;
    conclude(rpc, REMORA_UNAVAILABLE, rpc->is_sent ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_NOT_SENT,
             why);
}

/* --- head and trailers -------------------------------------------------------------------------*/

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-encoded; a '%' that begins no escape stands for itself. */
static char *
decode_words(struct remora_slice text)
{
    size_t len = text.len < RPC_WORDS_BYTES_MAX ? text.len : RPC_WORDS_BYTES_MAX;
    char *words = memory_new(len + 1), *at = words;
    for (size_t i = 0; i < len; i++) {
        char c = text.data[i];
        if (c == '%' && i + 2 < len && hex_digit(text.data[i + 1]) >= 0 &&
            hex_digit(text.data[i + 2]) >= 0) {
            c = (char)(hex_digit(text.data[i + 1]) << 4 | hex_digit(text.data[i + 2]));
            i += 2;
        }
        if (c != '\0')
            *at++ = c;
    }
    return words;
}

static void
take_details(struct rpc *rpc, struct remora_slice value)
{
    free(rpc->details);
    rpc->details = NULL;
    rpc->details_bytes = 0;
    if (value.len > RPC_DETAILS_BYTES_MAX)
        return; /* the code and the words are there */
    rpc->details = memory_new(value.len + 4);
    memcpy(rpc->details, value.data, value.len);
    size_t len = value.len;
    while (len % 4 != 0) /* most leave it out */
        rpc->details[len++] = '=';
    if (!base64_decode(rpc->details, len, rpc->details, &rpc->details_bytes))
        rpc->details_bytes = 0;
}

static bool
is_named(struct remora_slice name, const char *wanted)
{
    return name.len == strlen(wanted) && memcmp(name.data, wanted, name.len) == 0;
}

void
rpc_on_header(struct rpc *rpc, struct remora_slice name, struct remora_slice value)
{
    int64_t number;
    if (is_named(name, ":status")) {
        rpc->http_status = remora_parse_i64(value, &number) && number < 1000 ? (int)number : 0;
    } else if (is_named(name, "content-type")) {
        rpc->is_grpc = value.len >= 16 && memcmp(value.data, "application/grpc", 16) == 0;
    } else if (is_named(name, "grpc-status")) {
        rpc->has_status = remora_parse_i64(value, &number) && number >= 0;
        rpc->code = rpc->has_status && number <= 16 ? (enum remora_code)number : REMORA_UNKNOWN;
    } else if (is_named(name, "grpc-message")) {
        free(rpc->words);
        rpc->words = decode_words(value);
    } else if (is_named(name, "grpc-status-details-bin")) {
        take_details(rpc, value);
    }
}

static void
conclude_without_status(struct rpc *rpc, uint32_t error)
{
    char words[128];
    if (error == NGHTTP2_REFUSED_STREAM) {
        conclude(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "the component refused the call");
        return;
    }
    if (rpc->http_status != 0 && rpc->http_status != 200)
        (void)snprintf(words, sizeof words, "the component answered with HTTP status %d",
                       rpc->http_status);
    else if (error != NGHTTP2_NO_ERROR)
        (void)snprintf(words, sizeof words, "the component broke the call off: %s",
                       nghttp2_http2_strerror(error));
    else
        (void)snprintf(words, sizeof words, "the component's answer has no status");
    conclude(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN, words);
}

void
rpc_on_close(struct rpc *rpc, uint32_t error)
{
    if (!rpc->has_status)
        conclude_without_status(rpc, error);
    else
        conclude(rpc, REMORA_UNKNOWN, REMORA_EFFECT_FAILED, "");
}

/* --- messages ----------------------------------------------------------------------------------*/

static size_t
message_bytes(const struct bytes *in)
{
    const unsigned char *p = (const unsigned char *)in->data + in->at;
    return (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
}

static bool
has_prefix(const struct bytes *in)
{
    return in->len - in->at >= PREFIX_BYTES;
}

static bool
has_message(const struct bytes *in)
{
    return has_prefix(in) && in->len - in->at - PREFIX_BYTES >= message_bytes(in);
}

void
rpc_take(struct rpc *rpc, const uint8_t *data, size_t len)
{
    if (rpc->http_status != 200 || !rpc->is_grpc) {
        rpc_fail(rpc, REMORA_UNKNOWN, REMORA_EFFECT_UNKNOWN,
                 "what the component answers is not gRPC");
        return;
    }
    bytes_append(&rpc->in, data, len);
    if (has_prefix(&rpc->in) && rpc->in.data[rpc->in.at] != 0)
        rpc_fail(rpc, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                 "the component's answer is compressed, which was not offered");
    else if (has_prefix(&rpc->in) && message_bytes(&rpc->in) > RPC_ANSWER_BYTES_MAX)
        rpc_fail(rpc, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_UNKNOWN,
                 "the component's answer is larger than 64 MiB");
    else if (has_message(&rpc->in))
        rpc_note(rpc);
}

/* An answer stays in `in` until the end; a second one is a mistake of the component. */
static void
take_answer(struct rpc *rpc)
{
    if (!has_message(&rpc->in))
        return;
    if (rpc->has_answer) {
        rpc_fail(rpc, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                 "the component answered a call twice");
        return;
    }
    rpc->has_answer = true;
    rpc->answer_bytes = message_bytes(&rpc->in);
    rpc->answer_at = rpc->in.at + PREFIX_BYTES;
    rpc->in.at += PREFIX_BYTES + rpc->answer_bytes;
    if (has_prefix(&rpc->in))
        take_answer(rpc);
}

static void
tell_end(struct rpc *rpc)
{
    struct rpc_end end = {
        .code = rpc->code,
        .effect = rpc->effect,
        .words = rpc->words == NULL ? "" : rpc->words,
        .is_of_component = rpc->has_status,
        .details = { rpc->details == NULL ? "" : rpc->details, rpc->details_bytes },
        .answer = { rpc->has_answer ? rpc->in.data + rpc->answer_at : "", rpc->answer_bytes },
    };
    if (end.code == REMORA_OK && rpc->request.message == NULL && !rpc->has_answer) {
        end.code = REMORA_INTERNAL;
        end.effect = REMORA_EFFECT_UNKNOWN;
        end.words = "the component's answer is empty";
    }
    rpc->request.done(rpc->request.arg, &end);
}

/* The call whose owner is being told; NULL once he has cancelled it. Turns are not nested. */
static struct rpc *told;

void
rpc_tell(struct rpc *rpc)
{
    struct bytes *in = &rpc->in;
    TAILQ_REMOVE(&rpc->channel->noted, rpc, noted);
    rpc->is_noted = false;
    if (rpc->request.message == NULL)
        take_answer(rpc);
    told = rpc;
    while (rpc->request.message != NULL && !rpc->is_lost && !rpc->is_paused && has_message(in)) {
        const struct remora_slice message = { in->data + in->at + PREFIX_BYTES, message_bytes(in) };
        in->at += PREFIX_BYTES + message.len;
        rpc->request.message(rpc->request.arg, message);
        if (told == NULL)
            return;
        if (has_prefix(in) && (in->data[in->at] != 0 || message_bytes(in) > RPC_ANSWER_BYTES_MAX))
            rpc_fail(rpc, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_UNKNOWN,
                     "a message of the component is malformed or larger than 64 MiB");
    }
    const bool is_over = rpc->is_closed &&
                         (rpc->is_lost || rpc->request.message == NULL || !has_message(in));
    if (is_over) {
        tell_end(rpc);
        if (told != NULL)
            rpc_free(rpc);
    }
    told = NULL;
}

/* --- life --------------------------------------------------------------------------------------*/

static void
on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct rpc *rpc = timer->data;
    struct channel *channel = rpc->channel;
    char words[600];
    if (rpc->is_sent)
        (void)snprintf(words, sizeof words, "the component did not answer in time");
    else
        (void)snprintf(words, sizeof words, "the component is not there in time: %.500s",
                       channel_trouble(channel));
    rpc_fail(rpc, REMORA_DEADLINE_EXCEEDED,
             rpc->is_sent ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_NOT_SENT, words);
    channel_turn(channel);
}

static void
put_message(struct rpc *rpc, struct remora_slice message)
{
    const unsigned char prefix[PREFIX_BYTES] = {
        0,
        (unsigned char)(message.len >> 24),
        (unsigned char)(message.len >> 16),
        (unsigned char)(message.len >> 8),
        (unsigned char)message.len,
    };
    bytes_append(&rpc->out, prefix, sizeof prefix);
    bytes_append(&rpc->out, message.data, message.len);
}

static struct rpc *
start(struct channel *channel, const struct rpc_request *request, struct remora_slice message,
      bool is_preparing)
{
    struct rpc *rpc = memory_new(sizeof *rpc);
    rpc->channel = channel;
    rpc->request = *request;
    rpc->stream = -1;
    rpc->is_preparing = is_preparing;
    rpc->is_out_complete = request->message == NULL;
    TAILQ_INSERT_TAIL(&channel->calls, rpc, link);
    channel->count++;
    ev_timer_init(&rpc->deadline, on_deadline, 0., 0.);
    rpc->deadline.data = rpc;
    if (request->timeout_ms != UINT64_MAX) {
        ev_timer_set(&rpc->deadline, (double)request->timeout_ms / 1000., 0.);
        ev_timer_start(remora_loop(), &rpc->deadline);
    }
    if (message.data != NULL)
        put_message(rpc, message);
    if (channel->count > CHANNEL_CALLS_MAX)
        rpc_fail(rpc, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                 "too many calls of this component are open");
    return rpc;
}

static void
submit(struct rpc *rpc)
{
    if (rpc->is_closed)
        return;
    if (!session_submit(rpc))
        rpc_fail(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "the connection is ending");
    channel_wake(rpc->channel);
}

struct rpc *
rpc_start(struct channel *channel, const struct rpc_request *request, struct remora_slice message)
{
    struct rpc *rpc = start(channel, request, message, false);
    if (channel->state == CHANNEL_READY)
        submit(rpc);
    else if (channel->state == CHANNEL_DOWN && !ev_is_active(&channel->grace))
        rpc_fail(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, channel_trouble(channel));
    return rpc;
}

struct rpc *
channel_prepare(struct channel *channel, const struct rpc_request *request,
                struct remora_slice message)
{
    struct rpc *rpc = start(channel, request, message, true);
    if (channel->state == CHANNEL_PREPARING)
        submit(rpc);
    else
        rpc_fail(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, channel_trouble(channel));
    return rpc;
}

void
rpc_send(struct rpc *rpc, struct remora_slice message)
{
    if (rpc->is_closed)
        return;
    put_message(rpc, message);
    if (rpc->stream >= 0)
        (void)nghttp2_session_resume_data(rpc->channel->session, rpc->stream); /* or is not idle */
    channel_wake(rpc->channel);
}

void
rpc_finish(struct rpc *rpc)
{
    rpc->is_out_complete = true;
    if (rpc->stream >= 0)
        (void)nghttp2_session_resume_data(rpc->channel->session, rpc->stream); /* or is not idle */
    channel_wake(rpc->channel);
}

void
rpc_pause(struct rpc *rpc)
{
    rpc->is_paused = true;
}

void
rpc_resume(struct rpc *rpc)
{
    if (!rpc->is_paused)
        return;
    rpc->is_paused = false;
    if (rpc->stream >= 0 && rpc->unconsumed > 0)
        (void)nghttp2_session_consume_stream(rpc->channel->session, rpc->stream, rpc->unconsumed);
    rpc->unconsumed = 0;
    rpc_note(rpc);
}

void
rpc_free(struct rpc *rpc)
{
    struct channel *channel = rpc->channel;
    if (rpc->is_noted)
        TAILQ_REMOVE(&channel->noted, rpc, noted);
    TAILQ_REMOVE(&channel->calls, rpc, link);
    channel->count--;
    ev_timer_stop(remora_loop(), &rpc->deadline);
    bytes_fini(&rpc->in);
    bytes_fini(&rpc->out);
    free(rpc->words);
    free(rpc->details);
    free(rpc);
}

void
rpc_cancel(struct rpc *rpc)
{
    if (rpc == NULL)
        return;
    if (told == rpc)
        told = NULL;
    detach(rpc);
    rpc_free(rpc);
}
