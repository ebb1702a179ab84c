/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection; see channel.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../shared/memory.h"
#include "channel_internal.h"

static const double PAUSE_S_FIRST = 0.05, PAUSE_S_MAX = 1.0;
static const double GRACE_S = 3.0; /* a component that is started again takes about so long */

static void connect_now(struct channel *channel);

/* --- bytes -------------------------------------------------------------------------------------*/

void
bytes_append(struct bytes *bytes, const void *data, size_t len)
{
    if (bytes->at > 0 && bytes->at == bytes->len)
        bytes->at = bytes->len = 0;
    if (bytes->capacity - bytes->len < len && bytes->at > 0) {
        memmove(bytes->data, bytes->data + bytes->at, bytes->len - bytes->at);
        bytes->len -= bytes->at;
        bytes->at = 0;
    }
    if (bytes->capacity - bytes->len < len) {
        size_t wanted = bytes->len + len;
        size_t capacity = bytes->capacity * 2 > wanted ? bytes->capacity * 2 : wanted;
        bytes->data = realloc(bytes->data, capacity);
        if (bytes->data == NULL)
            abort();
        bytes->capacity = capacity;
    }
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

/* It may have been a secret. */
void
bytes_fini(struct bytes *bytes)
{
    if (bytes->data != NULL)
        explicit_bzero(bytes->data, bytes->capacity);
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

/* --- going down --------------------------------------------------------------------------------*/

static void
set_trouble(struct channel *channel, const char *why)
{
    char *words = why == NULL ? NULL : memory_text(why);
    free(channel->trouble);
    channel->trouble = words;
}

static void
disconnect(struct channel *channel)
{
    ev_io_stop(remora_loop(), &channel->reader);
    ev_io_stop(remora_loop(), &channel->writer);
    nghttp2_session_del(channel->session);
    channel->session = NULL;
    if (channel->fd >= 0)
        (void)close(channel->fd); /* what was not sent has been reported */
    channel->fd = -1;
    bytes_fini(&channel->out);
}

static void
redial_after(struct channel *channel, double pause_s)
{
    ev_timer_stop(remora_loop(), &channel->redial);
    ev_timer_set(&channel->redial, pause_s, 0.);
    ev_timer_start(remora_loop(), &channel->redial);
}

static void
schedule(struct channel *channel)
{
    redial_after(channel, channel->pause_s);
    channel->pause_s = channel->pause_s * 2 < PAUSE_S_MAX ? channel->pause_s * 2 : PAUSE_S_MAX;
}

static bool
may_wait(struct channel *channel)
{
    return channel->state != CHANNEL_DOWN || ev_is_active(&channel->grace);
}

/* Calls that were on the connection end; those that wait go on waiting while there is hope. */
static void
fail_calls(struct channel *channel, const char *why)
{
    struct rpc *rpc, *next;
    for (rpc = TAILQ_FIRST(&channel->calls); rpc != NULL; rpc = next) {
        next = TAILQ_NEXT(rpc, link);
        if (rpc->stream >= 0 || rpc->is_preparing)
            rpc_on_lost(rpc, why);
        else if (!may_wait(channel) && !rpc->is_closed)
            rpc_fail(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, why);
    }
}

static void
go_down(struct channel *channel, const char *why)
{
    const bool was_ready = channel->state == CHANNEL_READY || channel->state == CHANNEL_LEAVING;
    disconnect(channel);
    channel->state = CHANNEL_DOWN;
    channel->is_broken = false;
    set_trouble(channel, why);
    if (was_ready) {
        remora_log(REMORA_WARN, "component %s behind %s is gone, connecting again",
                   channel->instance, channel->path);
        channel->pause_s = PAUSE_S_FIRST;
        ev_timer_stop(remora_loop(), &channel->grace);
        ev_timer_set(&channel->grace, GRACE_S, 0.);
        ev_timer_start(remora_loop(), &channel->grace);
    }
    fail_calls(channel, channel->trouble);
    schedule(channel);
}

static void
on_grace_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct channel *channel = timer->data;
    ev_timer_stop(loop, timer);
    if (channel->state == CHANNEL_DOWN)
        fail_calls(channel, channel->trouble == NULL ? "not connected" : channel->trouble);
    channel_turn(channel);
}

/* --- turns -------------------------------------------------------------------------------------*/

static void
destroy(struct channel *channel)
{
    struct rpc *rpc;
    disconnect(channel);
    ev_prepare_stop(remora_loop(), &channel->flusher);
    ev_timer_stop(remora_loop(), &channel->redial);
    ev_timer_stop(remora_loop(), &channel->grace);
    while ((rpc = TAILQ_FIRST(&channel->calls)) != NULL)
        rpc_free(rpc);
    free(channel->trouble);
    free(channel->instance);
    free(channel->path);
    free(channel);
}

void
channel_turn(struct channel *channel)
{
    struct rpc *rpc;
    if (channel->is_in_turn)
        return;
    channel->is_in_turn = true;
    do {
        while (!channel->is_doomed && (rpc = TAILQ_FIRST(&channel->noted)) != NULL)
            rpc_tell(rpc);
        if (!channel->is_doomed && channel->fd >= 0 && !channel->is_broken)
            channel->is_broken = !session_write(channel);
        if (!channel->is_doomed && channel->is_broken)
            go_down(channel, "the connection to the component was lost");
    } while (!channel->is_doomed && !TAILQ_EMPTY(&channel->noted));
    channel->is_in_turn = false;
    if (channel->is_doomed)
        destroy(channel);
}

void
channel_wake(struct channel *channel)
{
    if (!channel->is_in_turn)
        ev_prepare_start(remora_loop(), &channel->flusher);
}

static void
on_flush(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)events;
    ev_prepare_stop(loop, watcher);
    channel_turn(watcher->data);
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    channel_turn(watcher->data);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct channel *channel = watcher->data;
    channel->is_broken |= !session_read(channel);
    channel_turn(channel);
}

/* --- coming up ---------------------------------------------------------------------------------*/

static int
dial(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        const int error = errno;
        (void)close(fd); /* nothing was written */
        errno = error;
        fd = -1;
    }
    return fd;
}

static void
connect_now(struct channel *channel)
{
    char words[512];
    channel->fd = dial(channel->path);
    if (channel->fd < 0 || !session_open(channel)) {
        (void)snprintf(words, sizeof words, "cannot connect to %s: %s", channel->path,
                       channel->fd < 0 ? strerror(errno) : "no memory");
        go_down(channel, words);
        return;
    }
    channel->state = CHANNEL_PREPARING;
    ev_io_init(&channel->reader, on_readable, channel->fd, EV_READ);
    ev_io_init(&channel->writer, on_writable, channel->fd, EV_WRITE);
    channel->reader.data = channel->writer.data = channel;
    ev_io_start(remora_loop(), &channel->reader);
    channel->connected(channel->arg);
    channel_wake(channel);
}

static void
on_redial(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct channel *channel = timer->data;
    ev_timer_stop(loop, timer);
    if (channel->fd < 0)
        connect_now(channel);
    channel_turn(channel);
}

void
channel_open(struct channel *channel)
{
    if (channel->fd < 0)
        redial_after(channel, 0.);
}

void
channel_ready(struct channel *channel)
{
    struct rpc *rpc;
    if (channel->state != CHANNEL_PREPARING)
        return; /* lost meanwhile */
    channel->state = CHANNEL_READY;
    channel->pause_s = PAUSE_S_FIRST;
    set_trouble(channel, NULL);
    ev_timer_stop(remora_loop(), &channel->grace);
    TAILQ_FOREACH(rpc, &channel->calls, link)
    if (rpc->stream < 0 && !rpc->is_closed && !session_submit(rpc))
        rpc_fail(rpc, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "the connection is ending");
    channel_wake(channel);
}

void
channel_refuse(struct channel *channel, const char *why)
{
    if (channel->state != CHANNEL_PREPARING)
        return;
    go_down(channel, why);
    channel_turn(channel);
}

const char *
channel_trouble(const struct channel *channel)
{
    return channel->trouble == NULL ? "" : channel->trouble;
}

struct channel *
channel_new(const char *path, const char *instance, channel_connected *connected, void *arg)
{
    struct channel *channel = memory_new(sizeof *channel);
    channel->path = memory_text(path);
    channel->instance = memory_text(instance);
    channel->connected = connected;
    channel->arg = arg;
    channel->fd = -1;
    channel->pause_s = PAUSE_S_FIRST;
    TAILQ_INIT(&channel->calls);
    TAILQ_INIT(&channel->noted);
    ev_init(&channel->reader, on_readable);
    ev_init(&channel->writer, on_writable);
    ev_timer_init(&channel->redial, on_redial, 0., 0.);
    ev_timer_init(&channel->grace, on_grace_over, 0., 0.);
    ev_prepare_init(&channel->flusher, on_flush);
    channel->redial.data = channel->grace.data = channel->flusher.data = channel;
    return channel;
}

void
channel_free(struct channel *channel)
{
    if (channel == NULL)
        return;
    channel->is_doomed = true;
    if (!channel->is_in_turn)
        destroy(channel);
}
