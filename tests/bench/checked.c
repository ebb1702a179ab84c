/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client that believes nothing: N keep-alive connections on one epoll loop, each writing and
 * reading keys of its own in state stores, its next request when the answer to the last is there.
 * Every read must bring exactly what the connection wrote last, and at the end, which is when
 * standard input ends, so must every key once more. Prints one line of JSON: requests, what failed,
 * what was wrong, the first complaint, latencies in µs.
 *
 * checked --port 3500 --stores a,b,c [--connections 64]
 *
 * A connection works on one store, the i-th on the store i modulo their number; no other run has
 * the same keys.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slice.h"

enum {
    CONNECTIONS_MAX = 1024,
    STORES_MAX = 8,
    KEYS = 8, /* of a connection */
    ANSWER_BYTES_MAX = 4096,
    VALUE_BYTES_MAX = 128,
    ANSWER_MS_MAX = 30000,
    COMPLAINT_BYTES = 512,
};

struct client {
    int fd;
    unsigned number;
    const char *store;
    uint64_t sent_ns;
    uint64_t counter;
    uint64_t values[KEYS]; /* the last acknowledged one; 0: none */
    unsigned key;          /* of the request under way */
    bool is_write;
    unsigned checked; /* keys looked at once more, at the end */
    bool is_done;
    size_t have;
    char answer[ANSWER_BYTES_MAX];
};

static struct client clients[CONNECTIONS_MAX];
static uint64_t port, connections = 64;
static const char *stores[STORES_MAX];
static size_t store_count;
static int epoll_fd;
static bool is_ending;
static size_t done_count;
static uint64_t requests, failed, wrong, cut;
static char complaint[COMPLAINT_BYTES];
static uint32_t *latencies_us;
static size_t latency_room;
static uint64_t rng = 88172645463325252u;

static void
die(const char *what)
{
    fprintf(stderr, "checked: %s: %s\n", what, strerror(errno));
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

/* Digits behind blanks. */
static uint64_t
number_of(const char *text)
{
    uint64_t number = 0;
    for (; *text == ' '; text++)
        continue;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (uint64_t)(*text - '0');
    return number;
}

/* --- requests ----------------------------------------------------------------------------------*/

static size_t
print_value(const struct client *c, uint64_t value, char ret_text[VALUE_BYTES_MAX])
{
    return (size_t)snprintf(ret_text, VALUE_BYTES_MAX, "\"%u-%llu-%064llx\"", c->number,
                            (unsigned long long)value, (unsigned long long)value * 2654435761u);
}

static void
send_request(struct client *c)
{
    char text[1024], value[VALUE_BYTES_MAX], body[512];
    size_t len;
    if (c->is_write) {
        (void)print_value(c, c->counter, value);
        int body_len = snprintf(body, sizeof body, "[{\"key\":\"c%u-%u-%d\",\"value\":%s}]",
                                c->number, c->key, (int)getpid(), value);
        len = (size_t)snprintf(text, sizeof text,
                               "POST /v1.0/state/%s HTTP/1.1\r\nHost: x\r\nContent-Type: "
                               "application/json\r\nContent-Length: %d\r\n\r\n%s",
                               c->store, body_len, body);
    } else {
        len = (size_t)snprintf(text, sizeof text,
                               "GET /v1.0/state/%s/c%u-%u-%d HTTP/1.1\r\nHost: x\r\n\r\n", c->store,
                               c->number, c->key, (int)getpid());
    }
    c->sent_ns = clock_now_ns();
    c->have = 0;
    if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        (void)shutdown(c->fd, SHUT_RDWR); /* the reading side counts it */
}

/* Writes and reads by turns; at the end every key is read once more. */
static void
next_request(struct client *c)
{
    if (!is_ending) {
        c->is_write = !c->is_write;
        c->key = (unsigned)(random_next() % KEYS);
        c->counter += c->is_write;
        send_request(c);
    } else if (c->checked < KEYS) {
        c->is_write = false;
        c->key = c->checked++;
        send_request(c);
    } else {
        c->is_done = true;
        done_count++;
    }
}

/* --- answers -----------------------------------------------------------------------------------*/

static void
complain(const struct client *c, const char *what)
{
    if (complaint[0] == '\0')
        (void)snprintf(complaint, sizeof complaint, "%s: %s of c%u-%u: %.200s", what,
                       c->is_write ? "POST" : "GET", c->number, c->key, c->answer);
}

static void
note_latency(const struct client *c)
{
    if (requests == latency_room) {
        latency_room = latency_room == 0 ? 1 << 20 : latency_room * 2;
        latencies_us = realloc(latencies_us, latency_room * sizeof *latencies_us);
        if (latencies_us == NULL)
            abort();
    }
    latencies_us[requests++] = (uint32_t)((clock_now_ns() - c->sent_ns) / 1000);
}

static bool
is_right(const struct client *c, const char *body, size_t len)
{
    char value[VALUE_BYTES_MAX];
    size_t wanted = print_value(c, c->values[c->key], value);
    if (c->values[c->key] == 0)
        return len == 0;
    return len == wanted && memcmp(body, value, len) == 0;
}

static void
on_answer(struct client *c, unsigned status, const char *body, size_t len)
{
    note_latency(c);
    if (status != 200 && status != 204) {
        failed++;
        complain(c, "failed");
    } else if (c->is_write) {
        c->values[c->key] = c->counter;
    } else if (!is_right(c, body, len)) {
        wrong++;
        complain(c, "wrong");
    }
    next_request(c);
}

static void
dial(struct client *c)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    const int one = 1;
    (void)inet_pton(AF_INET, "127.0.0.1", &address.sin_addr); /* it is well-formed */
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* slower without */
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void
on_cut(struct client *c)
{
    cut++;
    complain(c, "cut");
    (void)close(c->fd); /* the other side has */
    dial(c);
    next_request(c);
}

/* The number behind a header's name; 0 without. */
static size_t
content_length(const char *head, const char *end)
{
    for (const char *p = head; (p = memchr(p, '\n', (size_t)(end - p))) != NULL;) {
        p++;
        if (end - p > 15 && strncasecmp(p, "content-length:", 15) == 0)
            return number_of(p + 15);
    }
    return 0;
}

static void
on_input(struct client *c)
{
    ssize_t got = recv(c->fd, c->answer + c->have, sizeof c->answer - 1 - c->have, 0);
    if (got <= 0) {
        on_cut(c);
        return;
    }
    c->have += (size_t)got;
    c->answer[c->have] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return;
    size_t len = content_length(c->answer, end + 2);
    if (c->have < (size_t)(end + 4 - c->answer) + len)
        return;
    unsigned status = (unsigned)(c->answer[9] - '0') * 100 + (unsigned)(c->answer[10] - '0') * 10 +
                      (unsigned)(c->answer[11] - '0');
    on_answer(c, status, end + 4, len);
}

/* --- the whole ---------------------------------------------------------------------------------*/

static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double
quantile(double q)
{
    return requests == 0 ? 0 : latencies_us[(size_t)((double)(requests - 1) * q)];
}

static void
report(double seconds)
{
    qsort(latencies_us, requests, sizeof *latencies_us, compare);
    for (char *p = complaint; *p != '\0'; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
            *p = ' ';
    printf("{\"requests\": %llu, \"rps\": %.0f, \"failed\": %llu, \"wrong\": %llu, \"cut\": %llu, "
           "\"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"p9999_us\": %.0f, "
           "\"max_us\": %.0f, \"complaint\": \"%s\"}\n",
           (unsigned long long)requests, (double)requests / seconds, (unsigned long long)failed,
           (unsigned long long)wrong, (unsigned long long)cut, quantile(0.5), quantile(0.99),
           quantile(0.999), quantile(0.9999), quantile(1), complaint);
}

static void
run(void)
{
    struct epoll_event events[256], input = { .events = EPOLLIN, .data.ptr = NULL };
    uint64_t start_ns = clock_now_ns();
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        die("standard input");
    for (uint64_t i = 0; i < connections; i++)
        next_request(&clients[i]);
    while (done_count < connections) {
        int count = epoll_wait(epoll_fd, events, 256, ANSWER_MS_MAX);
        if (count == 0) {
            failed++;
            (void)snprintf(complaint, sizeof complaint, "no answer within %d ms", ANSWER_MS_MAX);
            break;
        }
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr != NULL) {
                on_input(events[i].data.ptr);
                continue;
            }
            is_ending = true;
            (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL); /* it was added */
        }
    }
    report((double)(clock_now_ns() - start_ns) / 1e9);
}

static void
read_stores(char *list)
{
    for (char *rest = list, *name; store_count < STORES_MAX && (name = strsep(&rest, ",")) != NULL;)
        stores[store_count++] = name;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--stores") == 0)
            read_stores(argv[i + 1]);
        else if (strcmp(argv[i], "--port") == 0)
            port = number_of(argv[i + 1]);
        else if (strcmp(argv[i], "--connections") == 0)
            connections = number_of(argv[i + 1]);
    }
    if (store_count == 0 || port == 0 || connections > CONNECTIONS_MAX) {
        fprintf(stderr, "checked: --port and --stores are needed\n");
        return 2;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < connections; i++) {
        clients[i].number = i;
        clients[i].store = stores[i % store_count];
        dial(&clients[i]);
    }
    run();
    return 0;
}
