/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP load client for benchmarks: N keep-alive connections on one epoll loop, each sending its
 * next request when the answer to the last is there (closed loop). Prints one line of JSON:
 * requests, latencies in µs, statuses, its own CPU time. It does as little as it can: it shares the
 * machine with what it measures.
 *
 * load --port 3500 --connections 64 --seconds 2 --target /v1.0/state/store/key-{n} [--method POST]
 *      [--body '[{"key":"key-{n}","value":"…"}]'] [--keys 1000] [--requests N] [--expect 200]
 *      [--host 127.0.0.1] [--seed 1] [--idle-connections N]
 * {n} becomes six digits: a random key number below --keys. --requests ends after so many even if
 * time is left, --until-stdin-ends 1 when standard input does. --idle-connections are opened
 * besides and say nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slice.h"
#include "histogram.h"

enum {
    CONNECTIONS_MAX = 20000,
    REQUEST_BYTES_MAX = 1 << 20,
    ANSWER_BYTES_MAX = 64 * 1024, /* heads, and what is read at once of bodies */
    MARKS_MAX = 4,
    DIGITS = 6,
    STATUS_MAX = 600,
    ANSWER_MS_MAX = 30000,
};

struct client {
    int fd;
    uint64_t sent_ns;
    size_t have;      /* bytes of a head that is not complete */
    size_t body_left; /* bytes of a body still to come */
    unsigned status;
    char head[2048];
};

static struct {
    uint64_t port, connections, seconds, requests, keys, expect, seed, idle_connections,
        until_stdin_ends;
    const char *host, *target, *method, *body;
} options = { .connections = 1,
              .seconds = 1,
              .requests = UINT64_MAX,
              .keys = 1,
              .seed = 1,
              .host = "127.0.0.1",
              .target = "/",
              .method = "GET" };

static char request[REQUEST_BYTES_MAX];
static size_t request_len;
static size_t marks[MARKS_MAX]; /* where digits go in the request */
static size_t mark_count;

static char input[ANSWER_BYTES_MAX];
static struct client *clients;
static int epoll_fd;
static uint64_t rng;
static struct histogram latencies;
static uint64_t statuses[STATUS_MAX];
static uint64_t done, unexpected, errors;

static void
die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t
random_next(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* --------------------------------------------------------------------------------- request */

/* Appends text to the request; {n} becomes digits that are overwritten at every send. */
static void
append(const char *text)
{
    for (const char *p = text; *p != '\0';) {
        if (request_len + DIGITS >= sizeof request)
            die("request too large");
        if (strncmp(p, "{n}", 3) == 0 && mark_count < MARKS_MAX) {
            marks[mark_count++] = request_len;
            for (int i = 0; i < DIGITS; i++)
                request[request_len++] = '0';
            p += 3;
        } else {
            request[request_len++] = *p++;
        }
    }
}

static size_t
expanded_len(const char *text)
{
    size_t len = 0;
    for (const char *p = text; *p != '\0'; len++)
        if (strncmp(p, "{n}", 3) == 0) {
            len += DIGITS - 1;
            p += 3;
        } else {
            p++;
        }
    return len;
}

static void
build_request(void)
{
    append(options.method);
    append(" ");
    append(options.target);
    append(" HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    if (options.body != NULL) {
        char head[100];
        snprintf(head, sizeof head, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 expanded_len(options.body));
        append(head);
    }
    append("\r\n");
    if (options.body != NULL)
        append(options.body);
}

static void
write_key(void)
{
    uint64_t key = random_next() % options.keys;
    for (int i = DIGITS - 1; i >= 0; i--, key /= 10)
        for (size_t m = 0; m < mark_count; m++)
            request[marks[m] + (size_t)i] = (char)('0' + key % 10);
}

/* ----------------------------------------------------------------------------- connections */

static int
dial(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)options.port) };
    inet_pton(AF_INET, options.host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void
open_client(struct client *c)
{
    c->fd = dial();
    c->have = c->body_left = 0;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void
send_request(struct client *c)
{
    if (mark_count > 0)
        write_key();
    c->sent_ns = clock_now_ns();
    size_t sent = 0;
    while (sent < request_len) {
        ssize_t n = send(c->fd, request + sent, request_len - sent, MSG_NOSIGNAL);
        if (n < 0)
            return; /* the reading side sees it too and counts it */
        sent += (size_t)n;
    }
}

static void
on_error(struct client *c)
{
    errors++;
    close(c->fd);
    open_client(c);
    send_request(c);
}

static void
on_answer(struct client *c)
{
    histogram_add(&latencies, clock_now_ns() - c->sent_ns);
    statuses[c->status < STATUS_MAX ? c->status : 0]++;
    if (options.expect != 0 && c->status != options.expect)
        unexpected++;
    done++;
    if (done < options.requests)
        send_request(c);
}

/* Status and body length of a complete head; false if it is none. */
static bool
parse_head(struct client *c, const char *head, size_t len)
{
    if (len < 12 || memcmp(head, "HTTP/1.", 7) != 0)
        return false;
    c->status = (unsigned)(head[9] - '0') * 100 + (unsigned)(head[10] - '0') * 10 +
                (unsigned)(head[11] - '0');
    c->body_left = 0;
    for (const char *p = head; (p = memchr(p, '\n', (size_t)(head + len - p))) != NULL;) {
        p++;
        if ((size_t)(head + len - p) > 16 && strncasecmp(p, "content-length:", 15) == 0)
            for (p += 15; *p == ' ' || (*p >= '0' && *p <= '9'); p++)
                if (*p != ' ')
                    c->body_left = c->body_left * 10 + (size_t)(*p - '0');
    }
    return true;
}

/* The head may be in two pieces; everything else of an answer is counted, not kept. */
static void
on_input(struct client *c)
{
    memcpy(input, c->head, c->have);
    ssize_t n = recv(c->fd, input + c->have, sizeof input - c->have, 0);
    if (n <= 0) {
        on_error(c);
        return;
    }
    size_t len = c->have + (size_t)n;
    c->have = 0;
    if (c->body_left == 0) {
        const char *end = memmem(input, len, "\r\n\r\n", 4);
        if (end == NULL && len < sizeof c->head) {
            memcpy(c->head, input, len);
            c->have = len;
            return;
        }
        if (end == NULL || !parse_head(c, input, (size_t)(end - input) + 2)) {
            on_error(c);
            return;
        }
        len -= (size_t)(end - input) + 4;
    }
    c->body_left -= len < c->body_left ? len : c->body_left;
    if (c->body_left == 0)
        on_answer(c);
}

/* Only one answer is waited for on each connection. */
static void
run(void)
{
    static struct epoll_event events[1024];
    uint64_t start = clock_now_ns(), end = start + options.seconds * 1000000000;
    for (uint64_t i = 0; i < options.connections; i++)
        send_request(&clients[i]);
    while (done < options.requests && clock_now_ns() < end) {
        int n = epoll_wait(epoll_fd, events, 1024, ANSWER_MS_MAX);
        if (n == 0) {
            errors++;
            break;
        }
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                end = 0;
            else
                on_input(events[i].data.ptr);
        }
    }
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    printf(
        "{\"requests\": %lu, \"seconds\": %.3f, \"rps\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"p999_us\": %.1f, \"max_us\": %.1f, \"errors\": %lu, \"unexpected\": %lu, "
        "\"client_cpu_us\": %.2f, \"statuses\": {",
        done, seconds, (double)done / seconds, histogram_quantile_us(&latencies, 0.5),
        histogram_quantile_us(&latencies, 0.99), histogram_quantile_us(&latencies, 0.999),
        (double)latencies.max_ns / 1e3, errors, unexpected, done > 0 ? cpu_us / (double)done : 0);
    const char *comma = "";
    for (unsigned i = 0; i < STATUS_MAX; i++)
        if (statuses[i] > 0) {
            printf("%s\"%u\": %lu", comma, i, statuses[i]);
            comma = ", ";
        }
    puts("}}");
}

/* --------------------------------------------------------------------------------- options */

static const struct option_row {
    const char *name;
    uint64_t *number;
    const char **text;
} option_rows[] = {
    { "--port", &options.port, NULL },
    { "--connections", &options.connections, NULL },
    { "--seconds", &options.seconds, NULL },
    { "--requests", &options.requests, NULL },
    { "--keys", &options.keys, NULL },
    { "--expect", &options.expect, NULL },
    { "--seed", &options.seed, NULL },
    { "--idle-connections", &options.idle_connections, NULL },
    { "--until-stdin-ends", &options.until_stdin_ends, NULL },
    { "--host", NULL, &options.host },
    { "--target", NULL, &options.target },
    { "--method", NULL, &options.method },
    { "--body", NULL, &options.body },
};

static void
parse_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const struct option_row *row = option_rows;
        const struct option_row *end = row + sizeof option_rows / sizeof option_rows[0];
        while (row < end && strcmp(row->name, argv[i]) != 0)
            row++;
        bool is_good = row < end && i + 1 < argc;
        if (is_good && row->text != NULL)
            *row->text = argv[i + 1];
        else if (is_good)
            is_good = slice_to_u64(slice_str(argv[i + 1]), row->number);
        if (!is_good) {
            fprintf(stderr, "load: %s: no such option, or no good value\n", argv[i]);
            exit(2);
        }
    }
    if (options.port == 0 || options.connections == 0 || options.connections > CONNECTIONS_MAX ||
        options.idle_connections > CONNECTIONS_MAX || options.keys == 0 || options.seed == 0) {
        fprintf(stderr, "load: a number is out of range\n");
        exit(2);
    }
}

int
main(int argc, char **argv)
{
    parse_options(argc, argv);
    rng = options.seed * 0x9E3779B97F4A7C15ULL;
    build_request();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(options.connections, sizeof *clients);
    if (epoll_fd < 0 || clients == NULL)
        die("start");
    for (uint64_t i = 0; i < options.connections; i++)
        open_client(&clients[i]);
    for (uint64_t i = 0; i < options.idle_connections; i++)
        (void)dial(); /* held open until the end */
    struct epoll_event event = { .events = EPOLLIN };
    if (options.until_stdin_ends && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
        die("standard input");
    run();
    free(clients);
    return 0;
}
