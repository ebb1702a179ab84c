/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin link: what arrives (entry point on_readable), the handshake, and how it ends
 * (link_close); see link.h. Frames from outside are checked here and nowhere else; a peer that
 * breaks the contract loses its link, and with it its process.
 */
#include "bus/link.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/pb.h"
#include "bus/link_internal.h"
#include "remora/plugin/v1/plugin.pb-c.h"

enum {
    LINK_MAGIC = 0x6c696e6b,
    READ_BYTES = 64 * 1024,
    READS_PER_TURN = 8,
    HELLO_BUDGET_BYTES = 256 * 1024,
    IN_BYTES_MAX = LIMIT_frame_bytes_max + SP_HEADER_BYTES + READ_BYTES,
};

static const char *const state_names[] = {
    [LINK_GREETING] = "greeting", [LINK_OPEN] = "open", [LINK_DEAD] = "dead"
};

static void
set_state(struct link *link, enum link_state state)
{
    assert(state > link->state);
    log_debug("remora.bus", "link epoch=%u: %s -> %s", link->config.epoch, state_names[link->state],
              state_names[state]);
    link->state = state;
}

/* --- the end -----------------------------------------------------------------------------------*/

struct link *
link_ref(struct link *link)
{
    assert(link->magic == LINK_MAGIC);
    atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
    return link;
}

void
link_unref(struct link *link)
{
    /* acq_rel: the last one sees all that the others did before they let go. */
    if (link == NULL || atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) != 1)
        return;
    assert(link->state == LINK_DEAD);
    buf_fini(&link->in);
    link->magic = 0;
#ifndef __clang_analyzer__ /* it does not count references */
    free(link);
#endif
}

void
link_close(struct link *link, const char *reason)
{
    if (link->state == LINK_DEAD)
        return;
    (void)link_ref(link); /* on_lost may drop the owner's */
    set_state(link, LINK_DEAD);
    timer_stop(&link->worker->timers, &link->handshake_timer);
    timer_stop(&link->worker->timers, &link->check_timer);
    stream_close(&link->stream);
    gate_close(&link->credit, ERR_PLUGIN_NOT_SENT);
    link_fail_calls(link);
    link_fail_host_calls(link);
    link->config.events->on_lost(link, reason);
    link_unref(link);
}

static void
on_handshake_timeout(struct timer *timer)
{
    link_close(container_of(timer, struct link, handshake_timer), "no handshake in time");
}

/* --- sending -----------------------------------------------------------------------------------*/

bool
link_send(struct link *link, struct frame *frame, const struct slice *parts, size_t part_count)
{
    if (link->state == LINK_DEAD || link->stream.is_broken || inject(INJECT_link_write_fail))
        return false;
    frame->epoch = link->config.epoch;
    if (!frame_append(&link->stream.out, frame, parts, part_count))
        return false;
    stream_flush_later(&link->stream);
    return true;
}

void
link_send_or_close(struct link *link, struct frame *frame)
{
    if (!link_send(link, frame, NULL, 0) && !link->stream.is_broken)
        link_close(link, "the plugin does not read");
}

/* --- signs of life -----------------------------------------------------------------------------*/

/* Its answer is to no call of the table, and dropped as such; that something came is enough. */
static void
ping(struct link *link)
{
    struct frame frame = { .kind = FRAME_REQUEST,
                           .call = link->next_call,
                           .method = REMORA__PLUGIN__V1__METHOD__METHOD_PING };
    link->next_call += 2;
    link_send_or_close(link, &frame);
}

static void
on_check(struct timer *timer)
{
    struct link *link = container_of(timer, struct link, check_timer);
    if (link->call_count == 0)
        return; /* idle: the next call sets the timer again */
    link->silent_checks = link->has_heard ? 0 : link->silent_checks + 1;
    link->has_heard = false;
    if (link->silent_checks >= LIMIT_link_silent_checks_max) {
        link_close(link, "the plugin does not answer");
        return;
    }
    timer_set(&link->worker->timers, timer, clock_now_ms() + LIMIT_link_check_ms);
    if (link->silent_checks > 0)
        ping(link);
}

void
link_watch(struct link *link)
{
    if (timer_is_set(&link->check_timer))
        return;
    link->has_heard = false;
    link->silent_checks = 0;
    timer_set(&link->worker->timers, &link->check_timer, clock_now_ms() + LIMIT_link_check_ms);
}

/* --- handshake ---------------------------------------------------------------------------------*/

/* In constant time: how many digits agree must not be measurable. */
static bool
token_is_right(const char *ours, const char *theirs)
{
    size_t len = strlen(ours);
    if (strlen(theirs) != len)
        return false;
    unsigned char difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned char)(ours[i] ^ theirs[i]);
    return difference == 0;
}

static const char *
why_refused(struct link *link, const Remora__Plugin__V1__Hello *hello)
{
    if (!token_is_right(link->config.token, hello->token))
        return "wrong token";
    if (hello->protocol_major != 1)
        return "protocol version is not 1.x";
    if (hello->n_types > LIMIT_plugin_types_max)
        return "too many component types";
    return link->config.events->on_hello(link, hello);
}

static bool
send_hello_ack(struct link *link, const char *refusal)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__HelloAck ack = REMORA__PLUGIN__V1__HELLO_ACK__INIT;
    Remora__Plugin__V1__Status status = REMORA__PLUGIN__V1__STATUS__INIT;
    ack.protocol_major = 1;
    ack.epoch = link->config.epoch;
    ack.kernel_version = pb_string(&arena, slice_str(link->config.kernel_version));
    ack.app_id = pb_string(&arena, slice_str(link->config.app_id));
    ack.namespace_ = pb_string(&arena, slice_str(link->config.namespace_));
    ack.frame_bytes_max = LIMIT_frame_bytes_max;
    ack.call_credit_bytes = LIMIT_call_credit_bytes;
    ack.link_credit_bytes = LIMIT_link_credit_bytes;
    ack.n_host_services = link->config.host_service_count;
    ack.host_services = ARENA_ARRAY(&arena, char *, ack.n_host_services + 1);
    for (size_t i = 0; i < ack.n_host_services; i++)
        ack.host_services[i] = pb_string(&arena, slice_str(link->config.host_services[i]));
    if (refusal != NULL) {
        status.code = REMORA__PLUGIN__V1__CODE__CODE_PERMISSION_DENIED;
        status.message = pb_string(&arena, slice_str(refusal));
        ack.status = &status;
    }
    struct frame frame = { .kind = FRAME_HELLO_ACK, .payload = pb_pack(&arena, &ack.base) };
    bool sent = link_send(link, &frame, NULL, 0);
    arena_fini(&arena);
    return sent;
}

/* NULL, or why the link ends. */
static const char *
on_hello(struct link *link, const struct frame *frame)
{
    struct arena arena;
    arena_init(&arena);
    const char *refusal = "malformed hello";
    const Remora__Plugin__V1__Hello *hello = pb_unpack(
        &arena, &remora__plugin__v1__hello__descriptor, frame->payload, LIMIT_frame_depth_max,
        HELLO_BUDGET_BYTES);
    if (hello != NULL)
        refusal = why_refused(link, hello);
    bool sent = send_hello_ack(link, refusal);
    arena_fini(&arena);
    if (refusal != NULL) {
        /* The answer goes out now: closing drops what is queued. */
        if (sent && !link->stream.is_blocked)
            link->stream.flusher.flush(&link->stream.flusher);
        return refusal;
    }
    if (!sent)
        return "the plugin closed the connection";
    timer_stop(&link->worker->timers, &link->handshake_timer);
    set_state(link, LINK_OPEN);
    link->config.events->on_ready(link);
    return NULL;
}

/* Whether one more line may be logged; tells how many were not, once they may again. */
static bool
may_log(struct link *link)
{
    uint64_t now_ms = clock_now_ms();
    if (now_ms >= link->log_until_ms) {
        if (link->logs_dropped > 0)
            log_warn("remora.bus", "a plugin logs too much: %u lines dropped", link->logs_dropped);
        link->log_until_ms = now_ms + 1000;
        link->log_count = link->logs_dropped = 0;
    }
    if (link->log_count < LIMIT_log_lines_per_s) {
        link->log_count++;
        return true;
    }
    link->logs_dropped++;
    return false;
}

static void
on_log(struct link *link, const struct frame *frame)
{
    if (!may_log(link))
        return;
    struct arena arena;
    arena_init(&arena);
    const Remora__Plugin__V1__LogEntry *entry = pb_unpack(
        &arena, &remora__plugin__v1__log_entry__descriptor, frame->payload, LIMIT_frame_depth_max,
        4 * LIMIT_log_entry_bytes_max);
    struct slice message = slice_str(entry == NULL ? NULL : entry->message);
    if (entry != NULL && message.len <= LIMIT_log_entry_bytes_max && slice_is_utf8(message))
        link->config.events->on_log(link, (int)entry->level, message);
    arena_fini(&arena);
}

/* --- receiving ---------------------------------------------------------------------------------*/

static void
on_credit(struct link *link, const struct frame *frame)
{
    /* More credit than can be outstanding is a lie, and harmless when cut. */
    uint64_t bytes = frame->credit_bytes;
    if (frame->call == 0) {
        int64_t room = LIMIT_link_credit_bytes - link->credit.free;
        gate_leave(&link->credit, bytes > (uint64_t)room ? room : (int64_t)bytes);
        return;
    }
    struct flow *flow = frame->call % 2 == 1 ? link_call_flow(link, frame->call)
                                             : link_host_flow(link, frame->call);
    if (flow == NULL)
        return;
    int64_t room = LIMIT_call_credit_bytes - flow->credit_bytes;
    flow->credit_bytes += bytes > (uint64_t)room ? room : (int64_t)bytes;
    flow_wake(flow);
}

/* Frames that carry payload, for whichever call. NULL, or why the link ends. */
static const char *
on_payload(struct link *link, const struct frame *frame)
{
    if (!intake_count(&link->intake, frame->payload.len))
        return "payload without credit on the link";
    intake_give(link, 0, &link->intake, frame->payload.len, LIMIT_link_credit_bytes);
    if (link->state == LINK_DEAD)
        return NULL;
    if (frame->kind == FRAME_REQUEST)
        return link_on_request(link, frame);
    if (frame->kind == FRAME_DATA)
        return frame->call % 2 == 1 ? link_on_reply_data(link, frame)
                                    : link_on_request_data(link, frame);
    return frame->call % 2 == 1 ? link_on_reply(link, frame)
                                : "an answer to a call that was never made";
}

/* NULL, or why the link ends. */
static const char *
on_frame(struct link *link, const struct frame *frame)
{
    if (link->state == LINK_GREETING)
        return frame->kind == FRAME_HELLO ? on_hello(link, frame) : "the first frame is no hello";
    if (frame->epoch != link->config.epoch && frame->kind != FRAME_HELLO)
        return NULL; /* meant for a process before or after this one */
    switch (frame->kind) {
    case FRAME_RESPONSE:
    case FRAME_DATA:
    case FRAME_REQUEST:
        return on_payload(link, frame);
    case FRAME_END: /* the plugin's calls are never open-ended */
        return frame->call % 2 == 1 ? link_on_reply_end(link, frame) : NULL;
    case FRAME_CREDIT:
        on_credit(link, frame);
        return NULL;
    case FRAME_CANCEL:
        link_on_cancel(link, frame->call);
        return NULL;
    case FRAME_LOG:
        on_log(link, frame);
        return NULL;
    case FRAME_HELLO:
        return "a second hello";
    default:
        return NULL; /* of a later version: not for us */
    }
}

/* All whole frames in the buffer. False if the link died. */
static bool
drain_input(struct link *link)
{
    for (;;) {
        struct slice message;
        struct frame frame;
        enum sp_status status = sp_decode(&link->decoder, &link->in, &message);
        if (status == SP_MORE) {
            buf_wipe(&link->in);
            return true;
        }
        const char *reason = NULL;
        if (status != SP_MESSAGE)
            reason = sp_status_name(status);
        else if (frame_decode(message, &frame) != OK)
            reason = "malformed frame";
        else
            reason = on_frame(link, &frame);
        if (reason != NULL)
            link_close(link, reason);
        if (link->state == LINK_DEAD)
            return false;
    }
}

static void
on_readable(struct stream *stream)
{
    struct link *link = container_of(stream, struct link, stream);
    (void)link_ref(link);
    for (int i = 0; i < READS_PER_TURN && link->state != LINK_DEAD; i++) {
        size_t before = link->in.len;
        enum stream_got got = stream_read(stream, &link->in, READ_BYTES);
        if (got == STREAM_NOTHING)
            break;
        if (got == STREAM_END ||
            got == STREAM_ERROR) /* between processes there is no other error */
            link_close(link, "the plugin closed the connection");
        link->has_heard = link->has_heard || got == STREAM_BYTES;
        bool is_all = link->in.len - before < READ_BYTES; /* most often one read had it all */
        if (got != STREAM_BYTES || !drain_input(link) || is_all)
            break;
    }
    link_unref(link);
}

/* What the plugin has said before it went still counts. */
static void
on_broken(struct stream *stream)
{
    struct link *link = link_ref(container_of(stream, struct link, stream));
    on_readable(stream);
    link_close(link, "the plugin closed the connection");
    link_unref(link);
}

static const struct stream_events stream_events = { .on_readable = on_readable,
                                                    .on_broken = on_broken };

bool
link_peer_is(int fd, pid_t process_group)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    /* A peer of another pid namespace has number 0, which would mean ourselves. */
    return peer.uid == geteuid() && peer.pid > 0 && getpgid(peer.pid) == process_group;
}

pid_t
link_peer_pid(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? peer.pid : 0;
}

struct link *
link_new(struct worker *worker, int fd, const struct link_config *config)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        abort();
    link->magic = LINK_MAGIC;
    atomic_init(&link->refs, 1);
    link->worker = worker;
    link->config = *config;
    link->next_call = 1;
    link->intake.window_bytes = LIMIT_link_credit_bytes;
    link->decoder = (struct sp_decoder){ .peer = SP_PAIR0,
                                         .message_bytes_max = LIMIT_frame_bytes_max };
    list_init(&link->host_calls);
    buf_init(&link->in, IN_BYTES_MAX);
    gate_init(&link->credit, LIMIT_link_credit_bytes, LIMIT_link_waiters_max);
    stream_open(&link->stream, worker, fd, &stream_events, LIMIT_link_output_bytes_max);
    timer_init(&link->handshake_timer, on_handshake_timeout);
    timer_init(&link->check_timer, on_check);
    timer_set(&worker->timers, &link->handshake_timer, clock_now_ms() + LIMIT_handshake_ms);
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    bool queued = stream_write(&link->stream, slice_of(greeting, sizeof greeting));
    assert(queued); /* an empty buffer has room for eight bytes */
    return link;
}
