/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling, logging in and carrying; see passage.h. */
#include "passage.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/monotonic.h"
#include "scram.h"

enum {
    OPENING_MS = 10000, /* from dialling to the last word of the login */
    CHUNK = 16 * 1024,
    ANSWER_BYTES_MAX = 8 * 1024, /* of a server whose login has not ended */
    STACK_BYTES = 256 * 1024,
    API_SASL_HANDSHAKE = 17,
    API_SASL_AUTHENTICATE = 36,
};

struct line {
    struct passage *passage;
    int fd; /* to the server; -1: none */
    struct tls_session *tls;
    uint64_t until_ms;
    char why[PASSAGE_WHY_BYTES];
    bool is_refused;
    int32_t correlation;
    size_t answer_bytes;
    char answer[ANSWER_BYTES_MAX]; /* the latest */
};

static bool fail(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
fail(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(line->why, sizeof line->why, format, args);
    va_end(args);
    return false;
}

static bool
wait_for(struct line *line, short events)
{
    uint64_t now = monotonic_now_ms();
    struct pollfd fd = { .fd = line->fd, .events = events };
    if (now < line->until_ms && poll(&fd, 1, (int)(line->until_ms - now)) > 0)
        return true;
    return fail(line, "no answer in time");
}

/* --- bytes -------------------------------------------------------------------------------------*/

enum flow { FLOW_SOME, FLOW_LATER, FLOW_LATER_WRITABLE, FLOW_END };

static enum flow
flow_of(struct line *line, enum tls_result result)
{
    switch (result) {
    case TLS_DONE:
        return FLOW_SOME;
    case TLS_WANT_READ:
        return FLOW_LATER;
    case TLS_WANT_WRITE:
        return FLOW_LATER_WRITABLE;
    case TLS_CLOSED:
        break;
    case TLS_FAILED:
        line->is_refused = true;
        (void)fail(line, "%s", tls_error(line->tls));
        return FLOW_END;
    }
    (void)fail(line, "the server has closed the connection");
    return FLOW_END;
}

static enum flow
flow_of_socket(struct line *line, ssize_t count)
{
    if (count > 0)
        return FLOW_SOME;
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return FLOW_LATER;
    (void)fail(line, "%s", count == 0 ? "the server has closed the connection" : strerror(errno));
    return FLOW_END;
}

static enum flow
server_read(struct line *line, char *data, size_t room, size_t *ret_len)
{
    if (line->tls != NULL)
        return flow_of(line, tls_read(line->tls, data, room, ret_len));
    ssize_t count = recv(line->fd, data, room, 0);
    *ret_len = count > 0 ? (size_t)count : 0;
    return flow_of_socket(line, count);
}

static enum flow
server_write(struct line *line, const char *data, size_t len, size_t *ret_len)
{
    if (line->tls != NULL)
        return flow_of(line, tls_write(line->tls, data, len, ret_len));
    ssize_t count = send(line->fd, data, len, MSG_NOSIGNAL);
    *ret_len = count > 0 ? (size_t)count : 0;
    return flow_of_socket(line, count);
}

static bool
write_all(struct line *line, const char *data, size_t len)
{
    while (len > 0) {
        size_t count = 0;
        enum flow flow = server_write(line, data, len, &count);
        if (flow == FLOW_END ||
            (flow != FLOW_SOME &&
             !wait_for(line, flow == FLOW_LATER && line->tls != NULL ? POLLIN : POLLOUT)))
            return false;
        data += count;
        len -= count;
    }
    return true;
}

static bool
read_all(struct line *line, char *data, size_t len)
{
    while (len > 0) {
        size_t count = 0;
        enum flow flow = server_read(line, data, len, &count);
        if (flow == FLOW_END ||
            (flow != FLOW_SOME && !wait_for(line, flow == FLOW_LATER_WRITABLE ? POLLOUT : POLLIN)))
            return false;
        data += count;
        len -= count;
    }
    return true;
}

/* --- opening -----------------------------------------------------------------------------------*/

static bool
dial(struct line *line)
{
    struct passage *passage = line->passage;
    int error = 0, on = 1;
    socklen_t size = sizeof error;
    line->fd = socket(passage->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->fd < 0)
        return fail(line, "%s", strerror(errno));
    (void)setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(line->fd, (struct sockaddr *)&passage->address, passage->address_bytes) == 0)
        return true;
    if (errno != EINPROGRESS)
        return fail(line, "%s", strerror(errno));
    if (!wait_for(line, POLLOUT))
        return false;
    if (getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
        return fail(line, "%s", strerror(error));
    return true;
}

static bool
shake_hands(struct line *line)
{
    struct tls_context *context = line->passage->login->tls;
    if (context == NULL)
        return true;
    line->tls = tls_session_new(context, line->fd, line->passage->host);
    for (;;) {
        enum flow flow = flow_of(line, tls_handshake(line->tls));
        if (flow == FLOW_SOME || flow == FLOW_END)
            return flow == FLOW_SOME;
        if (!wait_for(line, flow == FLOW_LATER ? POLLIN : POLLOUT))
            return false;
    }
}

static void
put_number(char *to, uint32_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (char)(number >> (8 * (bytes - 1 - i)));
}

static uint32_t
get_number(const char *from, int bytes)
{
    uint32_t number = 0;
    for (int i = 0; i < bytes; i++)
        number = number << 8 | (unsigned char)from[i];
    return number;
}

/* A request with one text or byte string, whose length takes `width` bytes. The answer's body is
 * in line->answer, with an error code in front. */
static bool
ask(struct line *line, int width, const char *text, size_t len)
{
    char request[SCRAM_TEXT_BYTES + 32];
    size_t head = 14 + (size_t)width;
    bool is_handshake = width == 2;
    put_number(request, (uint32_t)(head - 4 + len), 4);
    put_number(request + 4, is_handshake ? API_SASL_HANDSHAKE : API_SASL_AUTHENTICATE, 2);
    put_number(request + 6, is_handshake, 2); /* version */
    put_number(request + 8, (uint32_t)++line->correlation, 4);
    put_number(request + 12, 0xffff, 2); /* no client id */
    put_number(request + 14, (uint32_t)len, width);
    memcpy(request + head, text, len);
    char size[4];
    if (!write_all(line, request, head + len) || !read_all(line, size, sizeof size))
        return false;
    uint32_t bytes = get_number(size, 4);
    if (bytes < 6 || bytes > ANSWER_BYTES_MAX)
        return fail(line, "the server does not speak Kafka's protocol");
    if (!read_all(line, line->answer, bytes))
        return false;
    if (get_number(line->answer, 4) != (uint32_t)line->correlation)
        return fail(line, "the server answers what was not asked");
    line->answer_bytes = bytes - 4;
    memmove(line->answer, line->answer + 4, line->answer_bytes);
    return true;
}

/* error code, error message (or -1), bytes; those alone are in line->answer then. */
static bool
authenticate(struct line *line, const char *text, size_t len)
{
    char *answer = line->answer;
    if (!ask(line, 4, text, len))
        return false;
    size_t size = line->answer_bytes;
    if (size < 8)
        return fail(line, "the server's answer is cut short");
    size_t words = get_number(answer + 2, 2);
    words = words == 0xffff ? 0 : words;
    if (get_number(answer, 2) != 0) {
        line->is_refused = true;
        return fail(line, "SASL authentication error: %.*s",
                    (int)(words > size - 4 ? size - 4 : words), answer + 4);
    }
    if (words + 8 > size || get_number(answer + 4 + words, 4) != size - 8 - words)
        return fail(line, "the server's answer is cut short");
    line->answer_bytes = size - 8 - words;
    memmove(answer, answer + 8 + words, line->answer_bytes);
    return true;
}

static bool
log_in(struct line *line)
{
    const struct passage_login *login = line->passage->login;
    struct scram scram;
    char text[SCRAM_TEXT_BYTES];
    if (!scram_init(&scram, login->mechanism, login->username, login->password, NULL))
        return fail(line, "the user's name is too long");
    if (!ask(line, 2, login->mechanism, strlen(login->mechanism)))
        return false;
    if (get_number(line->answer, 2) != 0) {
        line->is_refused = true;
        return fail(line, "SASL authentication error: the server does not know %s",
                    login->mechanism);
    }
    if (!authenticate(line, text, scram_first(&scram, text)))
        return false;
    size_t reply = scram_final(&scram, line->answer, line->answer_bytes, text);
    if (reply == 0)
        return fail(line, "SASL authentication error: the server's challenge makes no sense");
    if (!authenticate(line, text, reply))
        return false;
    line->is_refused = !scram_is_proved(&scram, line->answer, line->answer_bytes);
    return !line->is_refused ||
           fail(line, "SASL authentication error: the server does not know the password");
}

/* --- carrying ----------------------------------------------------------------------------------*/

struct half {
    char data[CHUNK];
    size_t at, len; /* what is still to be passed on */
};

/* From the near end to the server. False: it is over. */
static bool
carry_up(struct line *line, struct half *half, bool *progress)
{
    if (half->len == 0) {
        ssize_t count = recv(line->passage->near, half->data, CHUNK, MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        half->at = 0;
        half->len = count > 0 ? (size_t)count : 0;
    }
    if (half->len == 0)
        return true;
    size_t count = 0;
    if (server_write(line, half->data + half->at, half->len, &count) == FLOW_END)
        return false;
    half->at += count;
    half->len -= count;
    *progress = *progress || count > 0;
    return true;
}

static bool
carry_down(struct line *line, struct half *half, bool *progress)
{
    if (half->len == 0) {
        size_t count = 0;
        if (server_read(line, half->data, CHUNK, &count) == FLOW_END)
            return false;
        half->at = 0;
        half->len = count;
    }
    if (half->len == 0)
        return true;
    ssize_t count = send(line->passage->near, half->data + half->at, half->len,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    half->at += count > 0 ? (size_t)count : 0;
    half->len -= count > 0 ? (size_t)count : 0;
    *progress = *progress || count > 0;
    return true;
}

static void
carry(struct line *line)
{
    struct half *up = calloc(1, sizeof *up), *down = calloc(1, sizeof *down);
    if (up == NULL || down == NULL)
        abort();
    for (bool progress = false;; progress = false) {
        if (!carry_up(line, up, &progress) || !carry_down(line, down, &progress))
            break;
        if (progress)
            continue;
        short near = (short)((up->len > 0 ? 0 : POLLIN) | (down->len > 0 ? POLLOUT : 0));
        short far = (short)((down->len > 0 ? 0 : POLLIN) | (up->len > 0 ? POLLOUT : 0));
        struct pollfd fds[2] = { { .fd = near != 0 ? line->passage->near : -1, .events = near },
                                 { .fd = far != 0 ? line->fd : -1, .events = far } };
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
    }
    free(up);
    free(down);
}

/* --- the thread --------------------------------------------------------------------------------*/

static void *
thread_main(void *arg)
{
    struct passage *passage = arg;
    struct line *line = calloc(1, sizeof *line);
    if (line == NULL)
        abort();
    *line = (struct line){ .passage = passage,
                           .fd = -1,
                           .until_ms = monotonic_now_ms() + OPENING_MS };
    if (dial(line) && shake_hands(line) && log_in(line))
        carry(line);
    else
        passage->failed(passage->arg, line->why, line->is_refused);
    tls_session_free(line->tls);
    if (line->fd >= 0)
        close(line->fd);
    close(passage->near);
    free(line);
    passage->over(passage->arg);
    free(passage);
    return NULL;
}

void
passage_start(struct passage *passage)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstacksize(&attributes, STACK_BYTES) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
        pthread_create(&thread, &attributes, thread_main, passage) != 0)
        abort();
    pthread_attr_destroy(&attributes);
}
