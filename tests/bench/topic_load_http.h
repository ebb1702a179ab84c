/* SPDX-License-Identifier: Apache-2.0 */
/* topic_load over HTTP/1.1: a connection a publisher, and an application that takes every event. */
#ifndef BENCH_TOPIC_LOAD_HTTP_H
#define BENCH_TOPIC_LOAD_HTTP_H

#include "topic_load.h"

/* --- publishers --------------------------------------------------------------------------------*/

struct http_client {
    struct end end;
    struct publisher *publisher;
    size_t have;
    char head[4096];
};

static void
http_write_head(struct buf *request, size_t body_bytes)
{
    if (!buf_printf(request,
                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    options.path, body_bytes))
        die("head");
}

static void
http_publish(struct publisher *publisher)
{
    struct slice rest = buf_slice(&publisher->request);
    while (rest.len > 0) {
        ssize_t sent = send(publisher->fd, rest.data, rest.len, MSG_NOSIGNAL);
        if (sent < 0)
            die("send");
        rest = slice_from(rest, (size_t)sent);
    }
}

/* A good answer is a head and nothing else; after another one the connection is of no more use. */
static void
http_on_answer(struct end *end)
{
    struct http_client *client = (struct http_client *)end;
    ssize_t got = recv(end->fd, client->head + client->have, sizeof client->head - client->have, 0);
    if (got <= 0)
        die("the sidecar ended the connection");
    client->have += (size_t)got;
    if (memmem(client->head, client->have, "\r\n\r\n", 4) == NULL)
        return;
    bool is_good = client->have > 12 && memcmp(client->head + 9, "204", 3) == 0;
    if (!is_good)
        fprintf(stderr, "topic_load: %.*s\n", (int)client->have, client->head);
    client->have = 0;
    on_answer(client->publisher, is_good);
}

static void
http_open(struct publisher *publisher)
{
    static struct http_client clients[PUBLISHERS_MAX];
    struct http_client *client = &clients[publisher - publishers];
    publisher->fd = dial();
    client->end = (struct end){ http_on_answer, publisher->fd };
    client->publisher = publisher;
    watch(&client->end);
}

/* --- application -------------------------------------------------------------------------------*/

struct http_app {
    struct end end;
    struct buf in;
};

static void
http_answer(int fd, const char *status, struct slice body)
{
    static struct buf out;
    out.max = OUT_BYTES_MAX;
    buf_clear(&out);
    if (!buf_printf(&out,
                    "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                    status, body.len) ||
        !buf_append(&out, body))
        die("answer");
    struct slice bytes = buf_slice(&out);
    if (send(fd, bytes.data, bytes.len, MSG_NOSIGNAL) != (ssize_t)bytes.len)
        die("send to the sidecar");
}

/* SUCCESS for every entry. */
static void
http_answer_bulk(int fd, struct slice body)
{
    static struct buf out;
    const char *at = body.data, *end = body.data + body.len, *name = "\"entryId\":\"";
    bool is_good, is_first = true;
    out.max = OUT_BYTES_MAX;
    buf_clear(&out);
    is_good = buf_append(&out, SLICE("{\"statuses\":["));
    while (is_good && (at = memmem(at, (size_t)(end - at), name, strlen(name))) != NULL) {
        at += strlen(name);
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL)
            break;
        is_good = buf_printf(&out, "%s{\"entryId\":\"%.*s\",\"status\":\"SUCCESS\"}",
                             is_first ? "" : ",", (int)(quote - at), at);
        is_first = false;
    }
    if (!is_good || !buf_append(&out, SLICE("]}")))
        die("answer");
    http_answer(fd, "200 OK", buf_slice(&out));
}

static size_t
http_length(struct slice head)
{
    size_t length = 0;
    for (const char *p = head.data;
         (p = memchr(p, '\n', (size_t)(head.data + head.len - p))) != NULL;) {
        p++;
        if ((size_t)(head.data + head.len - p) > 16 && strncasecmp(p, "content-length:", 15) == 0)
            for (p += 15; *p == ' ' || (*p >= '0' && *p <= '9'); p++)
                if (*p != ' ')
                    length = length * 10 + (size_t)(*p - '0');
    }
    return length;
}

/* False: the request is not whole yet. What is asked besides events does not exist here. */
static bool
http_take_request(struct http_app *app)
{
    struct slice in = buf_slice(&app->in);
    const char *end = in.len == 0 ? NULL : memmem(in.data, in.len, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    size_t head_bytes = (size_t)(end - in.data) + 4;
    size_t length = http_length(slice_first(in, head_bytes));
    if (in.len < head_bytes + length)
        return false;
    struct slice body = slice_first(slice_from(in, head_bytes), length);
    if (!slice_has_prefix(in, SLICE("POST")))
        http_answer(app->end.fd, "404 Not Found", SLICE_EMPTY);
    else if (options.messages > 1)
        http_answer_bulk(app->end.fd, body);
    else
        http_answer(app->end.fd, "200 OK", SLICE("{}"));
    on_request(body);
    buf_consume(&app->in, head_bytes + length);
    return true;
}

static void
http_on_request(struct end *end)
{
    struct http_app *app = (struct http_app *)end;
    char *room = buf_reserve(&app->in, IN_BYTES);
    if (room == NULL)
        die("a request that is too large");
    ssize_t got = recv(end->fd, room, IN_BYTES, 0);
    if (got <= 0) {
        buf_fini(&app->in);
        (void)close(end->fd);
        free(app);
        return;
    }
    buf_commit(&app->in, (size_t)got);
    while (http_take_request(app))
        continue;
}

static void
http_accept(int fd)
{
    struct http_app *app = calloc(1, sizeof *app);
    if (app == NULL)
        die("memory");
    app->end = (struct end){ http_on_request, fd };
    buf_init(&app->in, OUT_BYTES_MAX);
    watch(&app->end);
}

#endif
