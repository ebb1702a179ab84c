/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to one server; see server.h. */
#include "server.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"
#include "../shared/resolve.h"
#include "../shared/socket.h"

enum {
    REQUESTS_MAX = 8192, /* without an answer */
    OUT_BYTES_MAX = 32 * 1024 * 1024,
    READ_BYTES = 64 * 1024,
    READS_A_TURN = 8,        /* then others get their turn */
    KEEP_BYTES = 256 * 1024, /* an idle buffer larger than this is given back */
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 1000,
};

enum state { STATE_IDLE, STATE_RESOLVING, STATE_CONNECTING, STATE_READY };

struct bytes {
    char *data;
    size_t pos, len, cap; /* of len bytes the first pos are used up */
};

struct server {
    struct server *next;
    struct place place;
    int64_t timeout_ms;
    enum state state;
    int fd; /* or -1 */
    struct resolve *resolve;
    struct addrinfo *addresses, *address;
    ev_io readable, writable;
    ev_timer timer; /* until the first request's deadline */
    struct request *first, **tail;
    size_t request_count, held_bytes; /* of values that wait */
    struct bytes out, in;
    uint64_t next_dial_ms;
    unsigned pause_ms;
    char why[SOCKET_WHY_BYTES + ADDRESS_BYTES_MAX + 64];
};

static struct server *servers;

static void dial(struct server *server);

/* --- buffers -----------------------------------------------------------------------------------*/

static char *
bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->pos > 0 && bytes->cap - bytes->len < more) {
        memmove(bytes->data, bytes->data + bytes->pos, bytes->len - bytes->pos);
        bytes->len -= bytes->pos;
        bytes->pos = 0;
    }
    if (bytes->cap - bytes->len < more) {
        bytes->cap = bytes->cap * 2 > bytes->len + more ? bytes->cap * 2 : bytes->len + more;
        bytes->data = realloc(bytes->data, bytes->cap);
        if (bytes->data == NULL)
            abort();
    }
    return bytes->data + bytes->len;
}

static void
bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(bytes_reserve(bytes, len), data, len);
    bytes->len += len;
}

static void
bytes_fini(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ .data = NULL };
}

static void
bytes_use(struct bytes *bytes, size_t count)
{
    bytes->pos += count;
    if (bytes->pos < bytes->len)
        return;
    bytes->pos = bytes->len = 0;
    if (bytes->cap > KEEP_BYTES)
        bytes_fini(bytes);
}

/* --- requests ----------------------------------------------------------------------------------*/

static struct request *
take_first(struct server *server)
{
    struct request *request = server->first;
    server->first = request->next;
    if (server->first == NULL)
        server->tail = &server->first;
    server->request_count--;
    server->held_bytes -= request->value.len;
    return request;
}

static void
fail(struct request *request, enum remora_code code, const char *why)
{
    bool may_have_happened = request->is_sent && request->command != COMMAND_GET;
    struct remora_failure failure = {
        .code = code,
        .effect = may_have_happened ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_NOT_SENT,
        .message = why,
    };
    request->done(request, NULL, &failure);
}

static void
write_request(struct server *server, struct request *request)
{
    static const char *const words[] = { [COMMAND_GET] = "get ",
                                         [COMMAND_SET] = "set ",
                                         [COMMAND_DELETE] = "delete ",
                                         [COMMAND_VERSION] = "version" };
    struct bytes *out = &server->out;
    bytes_add(out, words[request->command], strlen(words[request->command]));
    bytes_add(out, request->key.data, request->key.len);
    if (request->command == COMMAND_SET) {
        char numbers[80];
        int len = snprintf(numbers, sizeof numbers, " 0 %lld %zu\r\n", (long long)request->expiry,
                           request->value.len);
        bytes_add(out, numbers, (size_t)len);
        bytes_add(out, request->value.data, request->value.len);
    }
    bytes_add(out, "\r\n", 2);
    request->is_sent = true;
}

/* The first request is the one whose time ends first. */
static void
set_timer(struct server *server)
{
    ev_timer_stop(remora_loop(), &server->timer);
    if (server->first == NULL)
        return;
    uint64_t now = monotonic_now_ms(), deadline = server->first->deadline_ms;
    ev_timer_set(&server->timer, deadline > now ? (double)(deadline - now) / 1000 : 0, 0);
    ev_timer_start(remora_loop(), &server->timer);
}

/* --- its end -----------------------------------------------------------------------------------*/

static void
forget_addresses(struct server *server)
{
    resolve_cancel(server->resolve);
    server->resolve = NULL;
    if (server->addresses != NULL)
        freeaddrinfo(server->addresses);
    server->addresses = server->address = NULL;
}

static void
close_connection(struct server *server)
{
    ev_io_stop(remora_loop(), &server->readable);
    ev_io_stop(remora_loop(), &server->writable);
    ev_timer_stop(remora_loop(), &server->timer);
    forget_addresses(server);
    if (server->fd >= 0)
        (void)close(server->fd);
    server->fd = -1;
    server->state = STATE_IDLE;
    bytes_fini(&server->in);
    bytes_fini(&server->out);
}

/* What waits fails with the connection; what its failure brings about belongs to the next one. */
static void
give_up(struct server *server, enum remora_code code, const char *why)
{
    if (why != server->why)
        (void)snprintf(server->why, sizeof server->why, "%s", why);
    struct request *requests = server->first;
    close_connection(server);
    server->first = NULL;
    server->tail = &server->first;
    server->request_count = server->held_bytes = 0;
    for (struct request *request = requests, *next; request != NULL; request = next) {
        next = request->next;
        fail(request, code, server->why);
    }
}

/* --- bytes -------------------------------------------------------------------------------------*/

static struct socket_io
io_of(struct server *server)
{
    return (struct socket_io){ remora_loop(), server->fd, NULL, &server->writable };
}

static void
flush(struct server *server)
{
    char lost[SOCKET_WHY_BYTES];
    const struct socket_io io = io_of(server);
    struct bytes *out = &server->out;
    while (out->pos < out->len) {
        size_t put = 0;
        enum socket_result result = socket_write(&io, out->data + out->pos, out->len - out->pos,
                                                 &put, lost);
        if (result == SOCKET_LOST) {
            give_up(server, REMORA_UNAVAILABLE, lost);
            return;
        }
        if (result == SOCKET_AGAIN) {
            socket_await_writable(&io);
            return;
        }
        bytes_use(out, put);
    }
    ev_io_stop(remora_loop(), &server->writable);
}

/* False: the connection is gone. */
static bool
take_answers(struct server *server)
{
    struct bytes *in = &server->in;
    while (in->pos < in->len) {
        struct request *request = server->first;
        struct answer answer = { .kind = ANSWER_BAD };
        if (request != NULL && request->is_sent)
            answer = answer_read(request->command, request->key, in->data + in->pos,
                                 in->len - in->pos);
        if (answer.kind == ANSWER_MORE)
            break;
        if (answer.kind == ANSWER_BAD) {
            char why[ADDRESS_BYTES_MAX + 64];
            (void)snprintf(why, sizeof why, "the server at %s sends what is not due",
                           server->place.address);
            give_up(server, REMORA_UNAVAILABLE, why);
            return false;
        }
        take_first(server);
        request->done(request, &answer, NULL);
        bytes_use(in, answer.bytes);
    }
    set_timer(server);
    return true;
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    struct server *server = watcher->data;
    char lost[SOCKET_WHY_BYTES];
    const struct socket_io io = io_of(server);
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        size_t got = 0;
        char *to = bytes_reserve(&server->in, READ_BYTES);
        enum socket_result result = socket_read(&io, to, READ_BYTES, &got, lost);
        if (result == SOCKET_AGAIN)
            return;
        if (result == SOCKET_LOST) {
            give_up(server, REMORA_UNAVAILABLE, lost);
            return;
        }
        server->in.len += got;
        if (!take_answers(server) || got < READ_BYTES)
            return;
    }
}

/* --- dialling ----------------------------------------------------------------------------------*/

static void
dial_failed(struct server *server, const char *what, int code)
{
    char words[64];
    (void)snprintf(server->why, sizeof server->why, "dial %s %s: %s: %s",
                   server->place.host[0] != '\0' ? "tcp" : "unix", server->place.address, what,
                   socket_error_words(code, words));
    if (server->fd >= 0) {
        ev_io_stop(remora_loop(), &server->writable);
        (void)close(server->fd);
        server->fd = -1;
    }
    if (server->address != NULL && server->address->ai_next != NULL) {
        server->address = server->address->ai_next;
        dial(server);
        return;
    }
    server->next_dial_ms = monotonic_now_ms() + server->pause_ms;
    server->pause_ms = server->pause_ms * 2 < PAUSE_MAX_MS ? server->pause_ms * 2 : PAUSE_MAX_MS;
    give_up(server, REMORA_UNAVAILABLE, server->why);
}

static void
on_connected(struct server *server)
{
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(server->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code != 0) {
        dial_failed(server, "connect", code);
        return;
    }
    forget_addresses(server);
    ev_io_stop(remora_loop(), &server->writable);
    ev_io_set(&server->readable, server->fd, EV_READ);
    ev_io_start(remora_loop(), &server->readable);
    server->state = STATE_READY;
    server->pause_ms = PAUSE_MIN_MS;
    for (struct request *request = server->first; request != NULL; request = request->next)
        write_request(server, request);
    flush(server);
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    struct server *server = watcher->data;
    if (server->state == STATE_CONNECTING)
        on_connected(server);
    else
        flush(server);
}

static void
start_connect(struct server *server, int family, const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    server->state = STATE_CONNECTING;
    server->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->fd < 0) {
        dial_failed(server, "socket", errno);
        return;
    }
    if (family != AF_UNIX) { /* best effort: the connection works without them */
        (void)setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(server->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (connect(server->fd, address, len) < 0 && errno != EINPROGRESS) {
        dial_failed(server, "connect", errno);
        return;
    }
    ev_io_set(&server->writable, server->fd, EV_WRITE);
    ev_io_start(remora_loop(), &server->writable);
}

static void
dial(struct server *server)
{
    start_connect(server, server->address->ai_family, server->address->ai_addr,
                  server->address->ai_addrlen);
}

static void
dial_socket(struct server *server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(server->place.address) >= sizeof address.sun_path) {
        dial_failed(server, "connect", ENAMETOOLONG);
        return;
    }
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.107s", server->place.address);
    start_connect(server, AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

static void
on_resolved(struct addrinfo *addresses, const char *why, void *arg)
{
    struct server *server = arg;
    server->resolve = NULL;
    server->addresses = server->address = addresses;
    if (addresses != NULL) {
        dial(server);
        return;
    }
    (void)snprintf(server->why, sizeof server->why, "dial tcp: lookup %s: %s", server->place.host,
                   why);
    server->next_dial_ms = monotonic_now_ms() + server->pause_ms;
    give_up(server, REMORA_UNAVAILABLE, server->why);
}

static void
connect_to(struct server *server)
{
    const struct place *place = &server->place;
    if (place->host[0] == '\0') {
        dial_socket(server);
        return;
    }
    server->state = STATE_RESOLVING;
    if (resolve_numeric(place->host, place->port, &server->addresses)) {
        server->address = server->addresses;
        dial(server);
        return;
    }
    server->addresses = NULL;
    server->resolve = resolve_start(remora_loop(), place->host, place->port, on_resolved, server);
    if (server->resolve == NULL)
        give_up(server, REMORA_UNAVAILABLE, "no thread to look the server's name up");
}

/* --- outside -----------------------------------------------------------------------------------*/

static void
on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct server *server = timer->data;
    char why[ADDRESS_BYTES_MAX + 64];
    (void)snprintf(why, sizeof why, "memcache: %s %s: i/o timeout",
                   server->state == STATE_READY ? "read tcp" : "connect timeout to",
                   server->place.address);
    give_up(server, REMORA_UNAVAILABLE, why);
}

struct server *
server_new(const struct place *place, int64_t timeout_ms)
{
    struct server *server = memory_new(sizeof(*server));
    *server = (struct server){ .next = servers,
                               .place = *place,
                               .timeout_ms = timeout_ms,
                               .fd = -1,
                               .pause_ms = PAUSE_MIN_MS };
    server->tail = &server->first;
    ev_init(&server->readable, on_readable);
    ev_init(&server->writable, on_writable);
    ev_init(&server->timer, on_late);
    server->readable.data = server->writable.data = server->timer.data = server;
    servers = server;
    return server;
}

void
server_free(struct server *server)
{
    for (struct server **at = &servers; *at != NULL; at = &(*at)->next)
        if (*at == server) {
            *at = server->next;
            break;
        }
    give_up(server, REMORA_UNAVAILABLE, "the component is closed");
    free(server);
}

void
server_submit(struct server *server, struct request *request)
{
    request->next = NULL;
    request->is_sent = false;
    request->deadline_ms = monotonic_now_ms() + (uint64_t)server->timeout_ms;
    if (server->request_count >= REQUESTS_MAX ||
        (server->request_count > 0 && server->held_bytes + request->value.len > OUT_BYTES_MAX)) {
        fail(request, REMORA_RESOURCE_EXHAUSTED, "too many requests are waiting for the server");
        return;
    }
    if (server->state == STATE_IDLE && server->next_dial_ms > monotonic_now_ms()) {
        fail(request, REMORA_UNAVAILABLE, server->why);
        return;
    }
    *server->tail = request;
    server->tail = &request->next;
    server->request_count++;
    server->held_bytes += request->value.len;
    if (server->first == request)
        set_timer(server);
    if (server->state == STATE_READY)
        write_request(server, request);
    else if (server->state == STATE_IDLE)
        connect_to(server);
}

void
server_flush_all(void)
{
    for (struct server *server = servers, *next; server != NULL; server = next) {
        next = server->next;
        if (server->state == STATE_READY && server->out.pos < server->out.len &&
            !ev_is_active(&server->writable))
            flush(server);
    }
}
