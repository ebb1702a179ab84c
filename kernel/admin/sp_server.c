/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SP over a Unix socket on libev; see sp_server.h. The order of a client's life: on_acceptable,
 * on_client (its bytes come and go), welcome (it has greeted), client_close. Only the functions
 * called by libev and sp_server_broadcast() close clients, so that a callback never does so under
 * the feet of its caller; the others mark them as broken.
 */
#include "admin/sp_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/credential.h"
#include "async/listener.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"

#define SCOPE "remora.admin"

struct sp_client {
    struct list place; /* in strangers or members */
    struct sp_server *server;
    int fd;
    ev_io io;
    struct credential credential;
    struct sp_decoder decoder;
    struct buf in;
    struct buf out;
    uint64_t active_ms; /* accepted, greeted, or said something whole */
    bool has_more;      /* `in` may hold another whole message */
    bool is_broken;
};

struct sp_server {
    struct sp_server_config config;
    char *path; /* owned */
    int fd;
    ev_io acceptable;
    ev_timer tick; /* runs while there is something to wait for */
    bool is_short; /* of descriptors: accepts again at the next tick */
    unsigned client_count;
    struct list strangers; /* clients that have not greeted, oldest first */
    struct list members;   /* those that have, longest silent first */
};

/* --- a client ----------------------------------------------------------------------------------*/

static bool
is_waiting_for_reader(const struct sp_client *client)
{
    return client->server->config.on_message != NULL && client->out.len > 0;
}

/* Listens for what can go on. A writable socket also stands for "input is left over". */
static void
watch(struct sp_client *client)
{
    struct ev_loop *loop = client->server->config.loop;
    bool may_take = !is_waiting_for_reader(client);
    bool wants_turn = client->out.len > 0 || client->has_more;
    int events = (may_take ? EV_READ : 0) | (wants_turn ? EV_WRITE : 0);
    if (ev_is_active(&client->io) && (client->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(loop, &client->io);
    ev_io_set(&client->io, client->fd, events);
    ev_io_start(loop, &client->io);
}

static void
client_close(struct sp_client *client)
{
    struct sp_server *server = client->server;
    ev_io_stop(server->config.loop, &client->io);
    (void)close(client->fd); /* it is a socket */
    list_remove(&client->place);
    buf_fini(&client->in);
    buf_fini(&client->out);
#ifndef __clang_analyzer__ /* it does not see who leaves a list */
    free(client);
#endif
    server->client_count--;
}

/* Sends what the system takes. */
static void
flush(struct sp_client *client)
{
    while (client->out.len > 0 && !client->is_broken) {
        struct slice rest = buf_slice(&client->out);
        ssize_t sent = send(client->fd, rest.data, rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            buf_consume(&client->out, (size_t)sent);
        else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        else if (sent == 0 || errno != EINTR)
            client->is_broken = true;
    }
    buf_release(&client->out);
}

/* One read; more comes in the next turn. */
static void
fill(struct sp_client *client)
{
    size_t room = client->in.max - client->in.len;
    if (room > LIMIT_admin_read_bytes)
        room = LIMIT_admin_read_bytes;
    char *at = room == 0 ? NULL : buf_reserve(&client->in, room);
    if (at == NULL)
        return; /* what is there must be taken first */
    ssize_t got = read(client->fd, at, room);
    if (got > 0) {
        buf_commit(&client->in, (size_t)got);
        client->has_more = true;
    } else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        client->is_broken = true;
    }
}

/* It has greeted: the moment to ask who it is, since strangers that only knock are many. */
static void
welcome(struct sp_client *client)
{
    struct sp_server *server = client->server;
    if (client->credential.uid == geteuid() && credential_is_descendant(&client->credential)) {
        log_warn(SCOPE, "event=client_refused pid=%d reason=\"it is a plugin\"",
                 (int)client->credential.pid);
        client->is_broken = true;
        return;
    }
    list_remove(&client->place);
    list_append(&server->members, &client->place);
    client->active_ms = clock_now_ms();
}

static void
take_message(struct sp_client *client, struct slice message)
{
    struct sp_server *server = client->server;
    list_remove(&client->place);
    list_append(&server->members, &client->place);
    client->active_ms = clock_now_ms();
    if (server->config.on_message == NULL ||
        !server->config.on_message(server->config.arg, client, message))
        client->is_broken = true;
}

/* The greeting, and at most one message. */
static void
take(struct sp_client *client)
{
    bool had_greeted = client->decoder.has_greeted;
    struct slice message;
    enum sp_status status = sp_decode(&client->decoder, &client->in, &message);
    client->has_more = status == SP_MESSAGE;
    if (!had_greeted && client->decoder.has_greeted)
        welcome(client);
    if (client->is_broken)
        return;
    if (status == SP_MESSAGE) {
        take_message(client, message);
    } else if (status != SP_MORE) {
        log_debug(SCOPE, "event=client_closed pid=%d reason=\"%s\"", (int)client->credential.pid,
                  sp_status_name(status));
        client->is_broken = true;
    }
    buf_release(&client->in);
}

static void
on_client(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct sp_client *client = io->data;
    if ((events & EV_WRITE) != 0)
        flush(client);
    if ((events & EV_READ) != 0 && !client->is_broken)
        fill(client);
    if (client->has_more && !is_waiting_for_reader(client) && !client->is_broken)
        take(client);
    if (client->is_broken)
        client_close(client);
    else
        watch(client);
}

/* --- coming in ---------------------------------------------------------------------------------*/

static struct sp_client *
first(struct list *clients)
{
    return list_is_empty(clients) ? NULL : LIST_ENTRY(clients->next, struct sp_client, place);
}

/* Subscribers are silent by nature: where silence is allowed, only strangers give way. */
static bool
make_room(struct sp_server *server)
{
    if (server->client_count < server->config.clients_max)
        return true;
    struct sp_client *victim = first(&server->strangers);
    if (victim == NULL && server->config.idle_ms > 0)
        victim = first(&server->members);
    if (victim != NULL)
        client_close(victim);
    return victim != NULL;
}

static void
admit(struct sp_server *server, int fd)
{
    struct credential credential;
    bool is_right = credential_of(fd, &credential) && credential_has_right_user(&credential);
    if (!is_right || !make_room(server)) {
        (void)close(fd); /* nothing was said */
        return;
    }
    struct sp_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    client->server = server;
    client->fd = fd;
    client->credential = credential;
    client->decoder = (struct sp_decoder){ .peer = server->config.peer,
                                           .message_bytes_max = server->config.message_bytes_max };
    client->active_ms = clock_now_ms();
    buf_init(&client->in, SP_HEADER_BYTES + server->config.message_bytes_max);
    buf_init(&client->out, SP_HANDSHAKE_BYTES + server->config.output_bytes_max);
    ev_init(&client->io, on_client);
    client->io.data = client;
    list_init(&client->place);
    list_append(&server->strangers, &client->place);
    server->client_count++;

    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(server->config.own, greeting);
    bool fits = buf_append(&client->out, slice_of(greeting, sizeof greeting));
    assert(fits);
    flush(client);
    if (client->is_broken)
        client_close(client);
    else
        watch(client);
}

static void
on_acceptable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    struct sp_server *server = io->data;
    for (int i = 0; i < LIMIT_admin_accepts_per_turn; i++) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(server, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            server->is_short = true; /* whoever knocks waits in the backlog meanwhile */
            ev_io_stop(loop, &server->acceptable);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    if ((server->client_count > 0 || server->is_short) && !ev_is_active(&server->tick))
        ev_timer_again(loop, &server->tick);
}

/* Lists are in the order of silence, so the first that may stay ends the search. */
static void
close_silent(struct list *clients, uint64_t limit_ms)
{
    uint64_t now = clock_now_ms();
    struct list *it, *next;
    LIST_FOREACH_SAFE(it, next, clients)
    {
        struct sp_client *client = LIST_ENTRY(it, struct sp_client, place);
        if (now - client->active_ms < limit_ms)
            return;
        client_close(client);
    }
}

static void
on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct sp_server *server = timer->data;
    close_silent(&server->strangers, server->config.greeting_ms);
    if (server->config.idle_ms > 0)
        close_silent(&server->members, server->config.idle_ms);
    if (server->is_short) {
        server->is_short = false;
        ev_io_start(loop, &server->acceptable);
    }
    if (server->client_count == 0)
        ev_timer_stop(loop, timer); /* an idle kernel sleeps */
}

/* --- the server --------------------------------------------------------------------------------*/

struct sp_server *
sp_server_open(const struct sp_server_config *config)
{
    int fd = listener_bind_unix(config->path, 0600);
    if (fd < 0)
        return NULL;
    struct sp_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        abort();
    server->config = *config;
    server->fd = fd;
    server->path = slice_dup_str(slice_str(config->path));
    list_init(&server->strangers);
    list_init(&server->members);
    ev_init(&server->tick, on_tick);
    server->tick.repeat = LIMIT_admin_tick_ms / 1e3;
    server->tick.data = server;
    ev_io_init(&server->acceptable, on_acceptable, fd, EV_READ);
    server->acceptable.data = server;
    ev_io_start(config->loop, &server->acceptable);
    return server;
}

static void
close_all(struct list *clients)
{
    struct list *it, *next;
    LIST_FOREACH_SAFE(it, next, clients)
    client_close(LIST_ENTRY(it, struct sp_client, place));
}

void
sp_server_close(struct sp_server *server)
{
    if (server == NULL)
        return;
    close_all(&server->strangers);
    close_all(&server->members);
    ev_timer_stop(server->config.loop, &server->tick);
    ev_io_stop(server->config.loop, &server->acceptable);
    (void)unlink(server->path); /* the run directory goes as a whole later */
    (void)close(server->fd);    /* a socket */
    free(server->path);
    free(server);
}

bool
sp_client_send(struct sp_client *client, struct slice head, struct slice body)
{
    char header[SP_HEADER_BYTES];
    size_t bytes = sizeof header + head.len + body.len;
    if (head.len > client->out.max || body.len > client->out.max ||
        buf_reserve(&client->out, bytes) == NULL)
        return false;
    sp_header(head.len + body.len, header);
    bool fits = buf_append(&client->out, slice_of(header, sizeof header)) &&
                buf_append(&client->out, head) && buf_append(&client->out, body);
    assert(fits);
    flush(client);
    return true;
}

/* Those who have greeted, though their turn to be heard has not come yet. */
static void
hear_strangers(struct sp_server *server)
{
    struct list *it, *next;
    LIST_FOREACH_SAFE(it, next, &server->strangers)
    on_client(server->config.loop, &LIST_ENTRY(it, struct sp_client, place)->io, EV_READ);
}

void
sp_server_broadcast(struct sp_server *server, struct slice message)
{
    struct list *it, *next;
    hear_strangers(server);
    LIST_FOREACH_SAFE(it, next, &server->members)
    {
        struct sp_client *client = LIST_ENTRY(it, struct sp_client, place);
        if (!sp_client_send(client, message, SLICE_EMPTY))
            continue; /* it reads too slowly, and sees the gap in what it gets */
        if (client->is_broken)
            client_close(client);
        else
            watch(client);
    }
}

unsigned
sp_server_clients(const struct sp_server *server)
{
    return server->client_count;
}
