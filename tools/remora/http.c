/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP call; see http.h. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024, READ_BYTES = 16 * 1024 };

/* 0 when the socket is ready, else an errno. */
static int
wait_for(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now_ms = clock_now_ms();
        if (now_ms >= deadline_ms)
            return ETIMEDOUT;
        struct pollfd ready = { .fd = fd, .events = events };
        uint64_t left_ms = deadline_ms - now_ms;
        int count = poll(&ready, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (count > 0)
            return 0;
        if (count < 0 && errno != EINTR)
            return errno;
    }
}

static int
connect_to(int fd, const struct sockaddr *address, socklen_t len, uint64_t deadline_ms)
{
    if (connect(fd, address, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    int error = wait_for(fd, POLLOUT, deadline_ms);
    socklen_t error_len = sizeof error;
    if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0)
        error = errno;
    return error;
}

/* A connected socket, or -1 with errno set. */
static int
open_connection(const struct http_request *request, uint64_t deadline_ms)
{
    struct sockaddr_in four = { .sin_family = AF_INET,
                                .sin_port = htons(request->port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6,
                                .sin6_port = htons(request->port),
                                .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    const struct sockaddr *addresses[] = { (const struct sockaddr *)&four,
                                           (const struct sockaddr *)&six };
    socklen_t lengths[] = { sizeof four, sizeof six };
    size_t count = 2;
    if (request->socket != NULL) {
        size_t len = strlen(request->socket);
        if (len >= sizeof local.sun_path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(local.sun_path, request->socket, len);
        addresses[0] = (const struct sockaddr *)&local;
        lengths[0] = sizeof local;
        count = 1;
    }
    int error = 0;
    for (size_t i = 0; i < count; i++) {
        int fd = socket(addresses[i]->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int failed = fd < 0 ? errno : connect_to(fd, addresses[i], lengths[i], deadline_ms);
        if (failed == 0)
            return fd;
        if (fd >= 0)
            (void)close(fd); /* not connected */
        if (i == 0)
            error = failed;
    }
    errno = error;
    return -1;
}

static int
send_all(int fd, struct slice bytes, uint64_t deadline_ms)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes = slice_from(bytes, (size_t)sent);
            continue;
        }
        int error = errno == EAGAIN || errno == EINTR ? wait_for(fd, POLLOUT, deadline_ms) : errno;
        if (error != 0)
            return error;
    }
    return 0;
}

static int
receive_all(int fd, struct buf *in, uint64_t deadline_ms)
{
    for (;;) {
        char *room = buf_reserve(in, READ_BYTES);
        if (room == NULL)
            return EMSGSIZE;
        ssize_t got = recv(fd, room, READ_BYTES, 0);
        if (got == 0)
            return 0;
        if (got > 0) {
            buf_commit(in, (size_t)got);
            continue;
        }
        int error = errno == EAGAIN || errno == EINTR ? wait_for(fd, POLLIN, deadline_ms) : errno;
        if (error != 0)
            return error;
    }
}

static bool
put_head(struct buf *out, const struct http_request *request)
{
    const char *token = getenv("DAPR_API_TOKEN");
    bool ok = buf_append(out, slice_str(request->method)) && buf_append_byte(out, ' ') &&
              buf_append(out, slice_str(request->target)) &&
              buf_append(out, SLICE(" HTTP/1.0\r\nHost: localhost\r\n")) &&
              buf_printf(out, "Content-Length: %zu\r\n", request->body.len);
    if (ok && request->content_type != NULL)
        ok = buf_printf(out, "Content-Type: %s\r\n", request->content_type);
    if (ok && token != NULL && strpbrk(token, "\r\n") == NULL)
        ok = buf_printf(out, "dapr-api-token: %s\r\n", token);
    return ok && buf_append(out, SLICE("\r\n"));
}

/* The value of a header in a head, data NULL if there is none. */
static struct slice
header(struct slice head, struct slice name)
{
    struct slice line;
    for (struct slice rest = head; slice_split(&rest, '\n', &line);)
        if (line.len > name.len && line.data[name.len] == ':' &&
            slice_eq_nocase(slice_first(line, name.len), name))
            return slice_trim(slice_from(line, name.len + 1));
    return (struct slice){ 0 };
}

/* "HTTP/1.1 204 No Content" and what follows. NULL, or what is wrong with it. */
static const char *
read_reply(struct arena *arena, struct slice bytes, struct http_reply *ret_reply)
{
    ptrdiff_t end = slice_find(bytes, SLICE("\r\n\r\n"));
    uint64_t status, length;
    if (end < 0 || !slice_has_prefix(bytes, SLICE("HTTP/1.")) ||
        !slice_to_u64(slice_first(slice_from(bytes, 9), 3), &status) || status < 200)
        return "what it answered is no HTTP";
    struct slice head = slice_first(bytes, (size_t)end), body = slice_from(bytes, (size_t)end + 4);
    struct slice announced = header(head, SLICE("content-length"));
    if (announced.data != NULL && (!slice_to_u64(announced, &length) || length != body.len))
        return "its answer was cut off";
    ret_reply->status = (int)status;
    ret_reply->body = arena_dup(arena, body);
    return NULL;
}

bool
http_call(struct arena *arena, const struct http_request *request, struct http_reply *ret_reply,
          const char **ret_error)
{
    uint64_t deadline_ms = clock_now_ms() + request->timeout_ms;
    struct buf head, in;
    buf_init(&head, 64 * 1024);
    buf_init(&in, REPLY_BYTES_MAX);
    const char *words = NULL;
    int error = put_head(&head, request) ? 0 : EMSGSIZE;
    int fd = error == 0 ? open_connection(request, deadline_ms) : -1;
    if (error == 0 && fd < 0)
        error = errno;
    if (error == 0)
        error = send_all(fd, buf_slice(&head), deadline_ms);
    if (error == 0)
        error = send_all(fd, request->body, deadline_ms);
    /* Who refuses a request early may have answered and closed. */
    if (error == 0 || error == EPIPE || error == ECONNRESET) {
        int failed = receive_all(fd, &in, deadline_ms);
        error = in.len > 0 && failed != ETIMEDOUT && failed != EMSGSIZE ? 0 : failed;
    }
    if (error != 0)
        words = arena_str(arena, slice_str(strerror(error)));
    else
        words = read_reply(arena, buf_slice(&in), ret_reply);
    if (fd >= 0)
        (void)close(fd); /* all was said */
    if (head.data != NULL)
        explicit_bzero(head.data, head.capacity); /* it held a token */
    buf_fini(&head);
    buf_fini(&in);
    *ret_error = words;
    return words == NULL;
}

bool
http_escape(struct buf *out, const char *text, bool is_part)
{
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char byte = (unsigned char)*p;
        bool is_plain = byte > 0x20 && byte < 0x7f && strchr("\"#<>\\^`{|}", byte) == NULL &&
                        (!is_part || strchr("/?%&=+", byte) == NULL);
        if (!(is_plain ? buf_append_byte(out, *p) : buf_printf(out, "%%%02X", byte)))
            return false;
    }
    return true;
}
