/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one connection to the sidecar: reads what is there, hands each frame to whom it concerns, and
 * writes everything that was appended once a loop turn. Also the table of open exchanges and the
 * credit of the connection as a whole.
 */
#include "sdk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pb.h"

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events);
static void on_writable(struct ev_loop *loop, ev_io *watcher, int events);
static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events);

/* Whether what goes over the link may be a key or a secret. */
static bool
carries_secrets(void)
{
    bool carries = false;
    for (size_t i = 0; i < sdk.plugin->type_count; i++)
        carries = carries || sdk.plugin->types[i].crypto != NULL ||
                  sdk.plugin->types[i].secret != NULL;
    return carries;
}

void
link_open(int fd)
{
    struct link *link = &sdk.link;
    *link = (struct link){
        .fd = fd,
        .decoder = { .peer = SP_PAIR0, .message_bytes_max = LIMIT_frame_bytes_max },
        .call_credit = LIMIT_call_credit_bytes,
        .link_credit = LIMIT_link_credit_bytes,
        .credit = LIMIT_link_credit_bytes,
    };
    buf_init(&link->in, LIMIT_frame_bytes_max + SP_HEADER_BYTES + SDK_READ_BYTES);
    buf_init(&link->out, LIMIT_link_output_bytes_max);
    link->in.is_secret = link->out.is_secret = carries_secrets();
    list_init(&link->ready);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        abort(); /* a socket that was just connected */
    ev_io_init(&link->reader, on_readable, fd, EV_READ);
    ev_io_init(&link->writer, on_writable, fd, EV_WRITE);
    ev_prepare_init(&link->flusher, on_turn_end);
    /* After the plugin's own watchers, so that what they answered leaves in this turn. */
    ev_set_priority(&link->flusher, EV_MINPRI);
    ev_io_start(sdk.loop, &link->reader);
    ev_prepare_start(sdk.loop, &link->flusher);
}

void
link_close(void)
{
    struct link *link = &sdk.link;
    ev_io_stop(sdk.loop, &link->reader);
    ev_io_stop(sdk.loop, &link->writer);
    ev_prepare_stop(sdk.loop, &link->flusher);
    (void)close(link->fd); /* what could be sent was drained before */
    link->fd = -1;
    link->is_up = false;
    buf_fini(&link->in);
    buf_fini(&link->out);
}

/* "v1,v2" as a list; borrowed from the arena. */
static size_t
split_versions(struct arena *arena, const char *versions, char ***ret_list)
{
    struct slice rest = slice_str(versions), part;
    size_t count = 1;
    for (size_t i = 0; i < rest.len; i++)
        count += rest.data[i] == ',';
    *ret_list = ARENA_ARRAY(arena, char *, count);
    count = 0;
    while (slice_split(&rest, ',', &part))
        (*ret_list)[count++] = arena_str(arena, slice_trim(part));
    return count;
}

static void
fill_types(struct arena *arena, Remora__Plugin__V1__Hello *hello)
{
    const struct remora_plugin *plugin = sdk.plugin;
    assert(plugin->type_count <= LIMIT_plugin_types_max);
    hello->types = ARENA_ARRAY(arena, Remora__Plugin__V1__ComponentType *, plugin->type_count);
    hello->n_types = plugin->type_count;
    for (size_t i = 0; i < plugin->type_count; i++) {
        Remora__Plugin__V1__ComponentType *type = arena_alloc(arena, sizeof *type);
        remora__plugin__v1__component_type__init(type);
        type->type = arena_str(arena, slice_str(plugin->types[i].type));
        type->n_versions = split_versions(arena, plugin->types[i].versions, &type->versions);
        hello->types[i] = type;
    }
}

void
link_send_hello(const char *token)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__Hello hello = REMORA__PLUGIN__V1__HELLO__INIT;
    hello.token = arena_str(&arena, slice_str(token));
    hello.protocol_major = 1;
    hello.name = arena_str(&arena, slice_str(sdk.plugin->name));
    hello.version = arena_str(&arena, slice_str(sdk.plugin->version));
    hello.build_id = arena_str(&arena, build_id(&arena));
    hello.pid = (uint32_t)getpid();
    hello.links_max = 1;
    fill_types(&arena, &hello);
    if (sdk.plugin->host_services != NULL)
        hello.n_host_services = split_versions(&arena, sdk.plugin->host_services,
                                               &hello.host_services);
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    bool is_room = buf_append(&sdk.link.out, slice_of(greeting, sizeof greeting));
    assert(is_room);
    struct slice packed = pb_pack(&arena, &hello.base);
    link_append(&(struct frame){ .kind = FRAME_HELLO }, &packed, 1);
    arena_fini(&arena);
}

/* --- frames in ---------------------------------------------------------------------------------*/

static void
on_welcome(const struct frame *frame)
{
    struct link *link = &sdk.link;
    struct arena arena;
    arena_init(&arena);
    const Remora__Plugin__V1__HelloAck *ack = pb_unpack(
        &arena, &remora__plugin__v1__hello_ack__descriptor, frame->payload, LIMIT_frame_depth_max,
        LIMIT_message_bytes_max);
    if (frame->kind != FRAME_HELLO_ACK || ack == NULL) {
        sdk_end(EXIT_FAILURE, "the sidecar answered the greeting with something else");
    } else if (ack->status != NULL && ack->status->code != REMORA__PLUGIN__V1__CODE__CODE_OK) {
        fprintf(stderr, "%s: refused: %s\n", sdk.plugin->name, ack->status->message);
        sdk_end(EXIT_FAILURE, NULL);
    } else if (ack->protocol_major != 1 || ack->epoch == 0) {
        sdk_end(EXIT_FAILURE, "the sidecar speaks another version of the contract");
    } else {
        link->is_up = true;
        link->epoch = ack->epoch;
        if (ack->call_credit_bytes > 0)
            link->call_credit = ack->call_credit_bytes;
        if (ack->link_credit_bytes > 0)
            link->link_credit = ack->link_credit_bytes;
        link->credit = link->link_credit;
    }
    arena_fini(&arena);
}

/* Every payload byte counts, also of calls we have forgotten. Memory is bounded by the credit of
 * the calls, so the connection's is given back at receipt: a slow call must not hold up the others.
 */
static bool
count_link_bytes(size_t bytes)
{
    struct link *link = &sdk.link;
    link->uncredited += bytes;
    if (link->uncredited > link->link_credit)
        return false;
    if (link->uncredited >= link->link_credit / 8) {
        link_append(&(struct frame){ .kind = FRAME_CREDIT, .credit_bytes = link->uncredited }, NULL,
                    0);
        link->uncredited = 0;
    }
    return true;
}

static void
on_credit(const struct frame *frame)
{
    struct link *link = &sdk.link;
    if (frame->call == 0) {
        if (frame->credit_bytes > link->link_credit - link->credit)
            sdk_end(EXIT_FAILURE, "the sidecar gave credit that was not used");
        else
            link->credit += frame->credit_bytes;
        return;
    }
    struct exchange *exchange = link_find(frame->call);
    if (exchange != NULL)
        outbound_credit(&exchange->out, frame->credit_bytes);
}

/* Kernel calls are odd: for them we are the callee, else the caller. */
static void
on_call_frame(const struct frame *frame)
{
    struct exchange *exchange = link_find(frame->call);
    if (exchange == NULL)
        return; /* finished on our side; what is under way arrives late */
    const bool is_ours = frame->call % 2 == 0;
    switch ((enum frame_kind)frame->kind) {
    case FRAME_RESPONSE:
        if (is_ours)
            host_on_response(exchange, frame);
        break;
    case FRAME_DATA:
        sdk.link.has_data = true;
        (is_ours ? host_on_data : call_on_data)(exchange, frame);
        break;
    case FRAME_END:
        (is_ours ? host_on_end : call_on_end)(exchange, frame);
        break;
    case FRAME_CANCEL:
        if (!is_ours)
            call_on_cancel(exchange);
        break;
    case FRAME_HELLO:
    case FRAME_HELLO_ACK:
    case FRAME_REQUEST:
    case FRAME_CREDIT:
    case FRAME_EVENT:
    case FRAME_LOG:
    default:
        break; /* not here, or not known to this version */
    }
}

static void
on_frame(const struct frame *frame)
{
    struct link *link = &sdk.link;
    if (!link->is_up) {
        on_welcome(frame);
        return;
    }
    if (frame->epoch != link->epoch)
        return; /* meant for a process that is gone */
    if ((frame->kind == FRAME_REQUEST || frame->kind == FRAME_RESPONSE ||
         frame->kind == FRAME_DATA) &&
        !count_link_bytes(frame->payload.len)) {
        sdk_end(EXIT_FAILURE, "the sidecar sent more than the connection's credit");
        return;
    }
    /* Any of these may complete a call and start its handler. */
    link->has_batch |= frame->kind != FRAME_CREDIT;
    if (frame->kind == FRAME_REQUEST) {
        call_on_request(frame);
    } else if (frame->kind == FRAME_CREDIT) {
        on_credit(frame);
    } else {
        on_call_frame(frame);
    }
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    struct link *link = &sdk.link;
    char *at = buf_reserve(&link->in, SDK_READ_BYTES);
    assert(at != NULL); /* the decoder leaves less than one frame */
    ssize_t n = read(link->fd, at, SDK_READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        sdk_end(EXIT_SUCCESS, NULL); /* the sidecar is gone */
        return;
    }
    buf_commit(&link->in, (size_t)n);
    struct slice message;
    enum sp_status status;
    while (!sdk.is_ending && (status = sp_decode(&link->decoder, &link->in, &message)) != SP_MORE) {
        struct frame frame;
        if (status != SP_MESSAGE)
            sdk_end(EXIT_FAILURE, sp_status_name(status));
        else if (frame_decode(message, &frame) != OK)
            sdk_end(EXIT_FAILURE, "malformed frame");
        else
            on_frame(&frame);
    }
    buf_wipe(&link->in);
}

/* --- frames out --------------------------------------------------------------------------------*/

void
link_append(const struct frame *frame, const struct slice *parts, size_t part_count)
{
    struct frame stamped = *frame;
    stamped.epoch = sdk.link.epoch;
    if (!frame_append(&sdk.link.out, &stamped, parts, part_count))
        sdk_end(EXIT_FAILURE, "the sidecar does not read");
}

/* False if the socket takes no more for now. */
static bool
write_some(void)
{
    struct link *link = &sdk.link;
    while (link->out.len > 0) {
        struct slice left = buf_slice(&link->out);
        ssize_t n = write(link->fd, left.data, left.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            sdk_end(EXIT_SUCCESS, NULL); /* the sidecar is gone */
        if (n < 0)
            return false;
        buf_consume(&link->out, (size_t)n);
    }
    buf_wipe(&link->out);
    return true;
}

static void
flush(void)
{
    struct link *link = &sdk.link;
    bool is_open;
    do {
        outbound_pump();
        is_open = write_some();
    } while (is_open && link->out.len == 0 && !list_is_empty(&link->ready) && link->credit > 0);
    if (is_open)
        ev_io_stop(sdk.loop, &link->writer);
    else
        ev_io_start(sdk.loop, &link->writer);
    if (link->out.capacity > (size_t)2 * SDK_OUTPUT_PAUSE_BYTES)
        buf_release(&link->out); /* after a burst; does nothing while bytes are left */
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop; /* the turn's end follows and writes */
    (void)watcher;
    (void)events;
}

static void
on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    /* Again if what it answered has started parts of a many-operation. */
    while (sdk.link.has_batch) {
        sdk.link.has_batch = false;
        if (sdk.plugin->turn_end != NULL)
            sdk.plugin->turn_end();
    }
    flush();
    call_trim_pool();
    /* The next part of a large payload is here already: without this the plugin would keep its core
     * until the last one, and whoever waits for it, perhaps for the answer to a small call, too. */
    if (sdk.link.has_data)
        (void)sched_yield();
    sdk.link.has_data = false;
}

void
link_drain(int wait_ms)
{
    const uint64_t until = clock_now_ms() + (uint64_t)wait_ms;
    struct pollfd poll_fd = { .fd = sdk.link.fd, .events = POLLOUT };
    while (sdk.link.out.len > 0 && !write_some() && errno == EAGAIN) {
        const uint64_t now = clock_now_ms();
        if (now >= until || poll(&poll_fd, 1, (int)(until - now)) <= 0)
            return;
    }
}

/* --- open exchanges ----------------------------------------------------------------------------*/

static struct exchange **
bucket_of(uint64_t id)
{
    return &sdk.link.buckets[id / 2 % LINK_BUCKETS]; /* numbers go up by two */
}

struct exchange *
link_find(uint64_t id)
{
    struct exchange *exchange = *bucket_of(id);
    while (exchange != NULL && exchange->id != id)
        exchange = exchange->next;
    return exchange;
}

void
link_add(struct exchange *exchange)
{
    if (exchange->is_linked)
        return;
    struct exchange **bucket = bucket_of(exchange->id);
    exchange->next = *bucket;
    *bucket = exchange;
    exchange->is_linked = true;
    sdk.link.exchange_count++;
}

void
link_remove(struct exchange *exchange)
{
    if (!exchange->is_linked)
        return;
    struct exchange **at = bucket_of(exchange->id);
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
    exchange->is_linked = false;
    sdk.link.exchange_count--;
}
