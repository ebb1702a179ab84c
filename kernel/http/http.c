/* SPDX-License-Identifier: Apache-2.0 */
/* What all versions of HTTP share; see http.h. */
#include "http/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"

struct slice
http_header_get(const struct http_exchange *x, struct slice name)
{
    for (size_t i = 0; i < x->header_count; i++)
        if (x->headers[i].name.len == name.len && slice_eq_nocase(x->headers[i].name, name))
            return x->headers[i].value;
    return (struct slice){ 0 };
}

struct slice
http_peer_address(const struct http_exchange *x)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof address;
    char text[INET6_ADDRSTRLEN];
    int fd = x->transport->socket(x);
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&address, &len) != 0)
        return SLICE_EMPTY;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&address)->sin6_addr;
    const char *got = NULL;
    if (address.ss_family == AF_INET)
        got = inet_ntop(AF_INET, &((const struct sockaddr_in *)&address)->sin_addr, text,
                        sizeof text);
    else if (address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6))
        got = inet_ntop(AF_INET, &v6->s6_addr[12], text, sizeof text);
    else if (address.ss_family == AF_INET6)
        got = inet_ntop(AF_INET6, v6, text, sizeof text);
    return got == NULL ? SLICE_EMPTY : arena_dup(task_arena(x->task), slice_str(text));
}

/* --- bodies ------------------------------------------------------------------------------------*/

err_t
http_body_read(struct http_exchange *x, struct slice *ret_chunk)
{
    if (!x->has_other_body)
        return x->transport->body_read(x, ret_chunk);
    /* In pieces that fit wherever a client's would. */
    *ret_chunk = slice_first(x->other_body, LIMIT_h2_frame_bytes);
    x->other_body = slice_from(x->other_body, ret_chunk->len);
    return OK;
}

void
http_body_replace(struct http_exchange *x, struct slice body)
{
    x->has_other_body = true;
    x->other_body = body;
    x->content_length = (int64_t)body.len;
}

err_t
http_body_move(struct http_exchange *x, struct buf *to)
{
    struct slice piece;
    if (x->transport->body_move != NULL && !x->has_other_body)
        return x->transport->body_move(x, to);
    err_t err = http_body_read(x, &piece); /* suspends */
    return err != OK || buf_append(to, piece) ? err : ERR_TOO_LARGE;
}

bool
http_body_is_here(const struct http_exchange *x)
{
    return x->has_other_body ||
           (x->transport->body_is_here != NULL && x->transport->body_is_here(x));
}

err_t
http_admit(struct http_exchange *x)
{
    return x->transport->admit == NULL ? OK : x->transport->admit(x); /* may suspend */
}

err_t
http_body_read_all(struct http_exchange *x, size_t bytes_max, struct slice *ret_body)
{
    if (x->content_length >= 0 && (uint64_t)x->content_length > bytes_max)
        return ERR_TOO_LARGE;
    struct slice first, piece;
    err_t err = http_body_read(x, &first); /* suspends */
    if (err != OK)
        return err;
    if (first.len > bytes_max)
        return ERR_TOO_LARGE;
    if ((uint64_t)x->content_length == first.len) {
        *ret_body = first; /* stays where it is: there is no further piece */
        return OK;
    }
    struct arena *arena = task_arena(x->task);
    struct arena_bytes whole = { 0 };
    if (x->content_length > 0) {
        whole.capacity = (size_t)x->content_length;
        whole.data = arena_alloc(arena, whole.capacity);
    }
    for (piece = first; piece.len > 0;) {
        if (piece.len > bytes_max - whole.len)
            return ERR_TOO_LARGE;
        arena_append(arena, &whole, piece);
        err = http_body_read(x, &piece); /* suspends */
        if (err != OK)
            return err;
    }
    *ret_body = arena_bytes_slice(&whole);
    return OK;
}

err_t
http_await_input(struct task *t, struct wait **ret_wait, bool is_draining, uint64_t stall_ms)
{
    struct wait wait;
    wait_init(&wait, t, NULL);
    *ret_wait = &wait;
    if (is_draining && stall_ms > LIMIT_http_drain_silence_ms)
        stall_ms = LIMIT_http_drain_silence_ms;
    uint64_t outer = task_deadline_push(t, stall_ms);
    err_t err = TASK_WAIT(t, &wait);
    task_deadline_pop(t, outer);
    *ret_wait = NULL;
    return err;
}

/* --- answers -----------------------------------------------------------------------------------*/

err_t
http_reply_start(struct http_exchange *x, int status, const struct http_header *headers,
                 size_t header_count, int64_t length)
{
    x->reply_status = status;
    return x->transport->reply_start(x, status, headers, header_count, length);
}

err_t
http_reply_write(struct http_exchange *x, struct slice bytes)
{
    x->reply_bytes += bytes.len;
    return x->transport->reply_write(x, bytes);
}

err_t
http_reply_move(struct http_exchange *x, struct buf *from)
{
    x->reply_bytes += from->len;
    err_t err = x->transport->reply_move != NULL ? x->transport->reply_move(x, from)
                                                 : x->transport->reply_write(x, buf_slice(from));
    buf_clear(from);
    return err;
}

err_t
http_reply_end(struct http_exchange *x)
{
    return x->transport->reply_end(x);
}

err_t
http_reply_end_with(struct http_exchange *x, const struct http_header *trailers,
                    size_t trailer_count)
{
    if (x->transport->reply_end_with == NULL)
        return x->transport->reply_end(x);
    return x->transport->reply_end_with(x, trailers, trailer_count);
}

err_t
http_reply(struct http_exchange *x, int status, const struct http_header *headers,
           size_t header_count, struct slice body)
{
    err_t err = http_reply_start(x, status, headers, header_count, (int64_t)body.len);
    if (err == OK)
        err = http_reply_write(x, body);
    return err == OK ? http_reply_end(x) : err;
}

/* --- date --------------------------------------------------------------------------------------*/

/* "Wed, 25 Nov 2026 16:47:00 GMT" */
struct slice
http_date_now(struct http_date *date)
{
    enum { DATE_BYTES = 29 };
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    uint64_t now_ms = clock_coarse_ms();
    if (now_ms >= date->until_ms) {
        int64_t unix_ms = clock_unix_ms();
        time_t seconds = (time_t)(unix_ms / 1000);
        struct tm tm = { 0 };
        (void)gmtime_r(&seconds, &tm); /* fails only for years beyond int */
        (void)snprintf(date->text, sizeof date->text, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                       days[tm.tm_wday], (unsigned)tm.tm_mday % 100, months[tm.tm_mon],
                       ((unsigned)tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        date->until_ms = now_ms + 1000 - (uint64_t)(unix_ms % 1000);
    }
    return slice_of(date->text, DATE_BYTES);
}

/* --- status ------------------------------------------------------------------------------------*/

const char *
http_status_text(int status)
{
    enum { FIRST = 200 };
    static const char *const texts[] = {
        [200 - FIRST] = "OK",
        [201 - FIRST] = "Created",
        [202 - FIRST] = "Accepted",
        [203 - FIRST] = "Non-Authoritative Information",
        [204 - FIRST] = "No Content",
        [205 - FIRST] = "Reset Content",
        [206 - FIRST] = "Partial Content",
        [207 - FIRST] = "Multi-Status",
        [208 - FIRST] = "Already Reported",
        [226 - FIRST] = "IM Used",
        [300 - FIRST] = "Multiple Choices",
        [301 - FIRST] = "Moved Permanently",
        [302 - FIRST] = "Found",
        [303 - FIRST] = "See Other",
        [304 - FIRST] = "Not Modified",
        [305 - FIRST] = "Use Proxy",
        [307 - FIRST] = "Temporary Redirect",
        [308 - FIRST] = "Permanent Redirect",
        [400 - FIRST] = "Bad Request",
        [401 - FIRST] = "Unauthorized",
        [402 - FIRST] = "Payment Required",
        [403 - FIRST] = "Forbidden",
        [404 - FIRST] = "Not Found",
        [405 - FIRST] = "Method Not Allowed",
        [406 - FIRST] = "Not Acceptable",
        [407 - FIRST] = "Proxy Authentication Required",
        [408 - FIRST] = "Request Timeout",
        [409 - FIRST] = "Conflict",
        [410 - FIRST] = "Gone",
        [411 - FIRST] = "Length Required",
        [412 - FIRST] = "Precondition Failed",
        [413 - FIRST] = "Request Entity Too Large",
        [414 - FIRST] = "Request URI Too Long",
        [415 - FIRST] = "Unsupported Media Type",
        [416 - FIRST] = "Requested Range Not Satisfiable",
        [417 - FIRST] = "Expectation Failed",
        [418 - FIRST] = "I'm a teapot",
        [421 - FIRST] = "Misdirected Request",
        [422 - FIRST] = "Unprocessable Entity",
        [423 - FIRST] = "Locked",
        [424 - FIRST] = "Failed Dependency",
        [425 - FIRST] = "Too Early",
        [426 - FIRST] = "Upgrade Required",
        [428 - FIRST] = "Precondition Required",
        [429 - FIRST] = "Too Many Requests",
        [431 - FIRST] = "Request Header Fields Too Large",
        [451 - FIRST] = "Unavailable For Legal Reasons",
        [500 - FIRST] = "Internal Server Error",
        [501 - FIRST] = "Not Implemented",
        [502 - FIRST] = "Bad Gateway",
        [503 - FIRST] = "Service Unavailable",
        [504 - FIRST] = "Gateway Timeout",
        [505 - FIRST] = "HTTP Version Not Supported",
        [506 - FIRST] = "Variant Also Negotiates",
        [507 - FIRST] = "Insufficient Storage",
        [508 - FIRST] = "Loop Detected",
        [510 - FIRST] = "Not Extended",
        [511 - FIRST] = "Network Authentication Required",
    };
    if (status < FIRST || (size_t)(status - FIRST) >= ARRAY_LEN(texts))
        return "";
    const char *text = texts[status - FIRST];
    return text == NULL ? "" : text;
}
