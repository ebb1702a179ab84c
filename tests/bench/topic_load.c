/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishers and subscriber of benchmarks in one program and on one epoll loop, so that one clock
 * sees a message leave and arrive. N publishers, each with one request on its way, publish again
 * when the last was answered and all of its messages were delivered (closed loop from end to end).
 *
 * topic_load --port 3500 --app-port 8000 --path /v1.0/publish/bus/orders --message-file FILE
 *            [--messages 1] [--grpc 1]
 * FILE is the request's body, with as many tokens (@@ and twelve zeros) as --messages says. For
 * each line "PUBLISHERS SECONDS WAIT_MS" of standard input it publishes that long, waits for what
 * is under way, and prints a line of JSON: messages, latencies in µs from publishing to delivery,
 * what was refused and lost, its own CPU time.
 */
#include "topic_load.h"

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
#include "histogram.h"

enum {
    EVENTS_MAX = 256,
    TOKENS_MAX = 1024,
    NUMBER_DIGITS = 4,
    TURN_DIGITS = 8,
    TICK_MS = 20,
};

static size_t publisher_count; /* in this run */
static size_t token_at[TOKENS_MAX];
static size_t token_count;
static struct histogram latencies;
static uint64_t refused, strays, running;
static bool is_over, is_told; /* nothing more is published; a line may be on standard input */
static int epoll_fd;

static void
die(const char *what)
{
    fprintf(stderr, "topic_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- connections -------------------------------------------------------------------------------*/

static void
watch(struct end *end)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = end };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, end->fd, &event) != 0)
        die("epoll_ctl");
}

static int
dial(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)options.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    return fd;
}

static int
listen_on(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0)
        die("listen");
    return fd;
}

#include "topic_load_grpc.h"
#include "topic_load_http.h"

/* --- publishing --------------------------------------------------------------------------------*/

static void
write_digits(char *to, size_t digits, uint64_t number)
{
    for (size_t i = digits; i-- > 0; number /= 10)
        to[i] = (char)('0' + number % 10);
}

static void
publish(struct publisher *publisher)
{
    publisher->turn++;
    publisher->to_come = token_count;
    publisher->is_answered = publisher->was_refused = false;
    for (size_t i = 0; i < token_count; i++) {
        char *token = publisher->request.data + publisher->request.start + token_at[i];
        write_digits(token, NUMBER_DIGITS, (uint64_t)(publisher - publishers));
        write_digits(token + NUMBER_DIGITS, TURN_DIGITS, publisher->turn);
    }
    publisher->sent_ns = clock_now_ns();
    if (options.grpc)
        grpc_publish(publisher);
    else
        http_publish(publisher);
}

static void
settle(struct publisher *publisher)
{
    if (!publisher->is_answered || (publisher->to_come > 0 && !publisher->was_refused))
        return;
    if (is_over || publisher->was_refused)
        running--;
    else
        publish(publisher);
}

static void
on_answer(struct publisher *publisher, bool is_good)
{
    refused += !is_good;
    publisher->is_answered = true;
    publisher->was_refused = !is_good;
    settle(publisher);
}

static uint64_t
read_digits(const char *from, size_t digits)
{
    uint64_t number = 0;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (uint64_t)(from[i] - '0');
    return number;
}

static void
on_request(struct slice body)
{
    const char *end = body.data + body.len, *at = body.data;
    uint64_t now_ns = clock_now_ns();
    while ((at = memmem(at, (size_t)(end - at), "@@", 2)) != NULL &&
           end - at >= 2 + NUMBER_DIGITS + TURN_DIGITS) {
        uint64_t number = read_digits(at + 2, NUMBER_DIGITS);
        uint64_t turn = read_digits(at + 2 + NUMBER_DIGITS, TURN_DIGITS);
        at += 2 + NUMBER_DIGITS + TURN_DIGITS;
        struct publisher *publisher = &publishers[number < PUBLISHERS_MAX ? number : 0];
        bool is_lost_to_us = publisher->is_answered && publisher->was_refused;
        if (number >= publisher_count || publisher->turn != turn || publisher->to_come == 0 ||
            is_lost_to_us) {
            strays++;
            continue;
        }
        histogram_add(&latencies, now_ns - publisher->sent_ns);
        if (--publisher->to_come == 0)
            settle(publisher);
    }
}

/* --- runs --------------------------------------------------------------------------------------*/

static double
cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail */
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void
on_told(struct end *end)
{
    (void)end;
    is_told = true;
}

static void
on_app_connection(struct end *end)
{
    int on = 1, fd = accept(end->fd, NULL, NULL);
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    if (options.grpc)
        grpc_accept(fd);
    else
        http_accept(fd);
}

static void
turn_once(void)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(epoll_fd, events, EVENTS_MAX, TICK_MS);
    for (int i = 0; i < n; i++) {
        struct end *end = events[i].data.ptr;
        end->on_ready(end);
    }
    if (options.grpc)
        grpc_flush();
}

static void
run(uint64_t count, uint64_t seconds, uint64_t wait_ms)
{
    latencies = (struct histogram){ .count = 0 };
    refused = strays = 0;
    is_over = seconds == 0;
    running = publisher_count = (size_t)count;
    double cpu_before_us = cpu_us();
    uint64_t start_ns = clock_now_ns(), end_ns = start_ns + seconds * 1000000000;
    for (size_t i = 0; i < count; i++)
        publish(&publishers[i]);
    while (clock_now_ns() < end_ns && running > 0)
        turn_once();
    is_over = true;
    uint64_t messages = latencies.count;
    double took_s = (double)(clock_now_ns() - start_ns) / 1e9;
    double cpu = (cpu_us() - cpu_before_us) / (double)(messages > 0 ? messages : 1);
    while (running > 0 && clock_now_ns() < end_ns + wait_ms * 1000000)
        turn_once();
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++)
        lost += publishers[i].was_refused ? 0 : publishers[i].to_come;
    printf("{\"messages\": %lu, \"requests\": %lu, \"rps\": %.0f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f, \"refused\": %lu, \"lost\": %lu, \"strays\": %lu, "
           "\"client_cpu_us\": %.2f}\n",
           latencies.count, latencies.count, (double)messages / took_s,
           histogram_quantile_us(&latencies, 0.5), histogram_quantile_us(&latencies, 0.99),
           (double)latencies.max_ns / 1e3, refused, lost, strays, cpu);
    (void)fflush(stdout); /* who reads is told by the end of the program otherwise */
}

static bool
next_number(struct slice *rest, uint64_t *ret)
{
    struct slice word;
    return slice_split(rest, ' ', &word) && slice_to_u64(word, ret);
}

/* Between runs the application is there for the sidecar. */
static void
serve(void)
{
    char line[100];
    uint64_t count, seconds, wait_ms;
    for (;;) {
        turn_once();
        if (!is_told)
            continue;
        is_told = false;
        if (fgets(line, sizeof line, stdin) == NULL)
            return;
        struct slice rest = slice_trim(slice_str(line));
        if (!next_number(&rest, &count) || !next_number(&rest, &seconds) ||
            !next_number(&rest, &wait_ms) || count == 0 || count > PUBLISHERS_MAX)
            die("a line that is none");
        for (size_t i = 0; i < count; i++)
            if (!options.grpc && publishers[i].fd == 0)
                http_open(&publishers[i]);
        if (options.grpc)
            grpc_open();
        run(count, seconds, wait_ms);
    }
}

/* --- start -------------------------------------------------------------------------------------*/

/* One buffer a publisher, all alike but for what stands in the tokens. */
static void
read_message(void)
{
    static char bytes[1024 * 1024];
    FILE *file = fopen(options.message_file, "rb");
    if (file == NULL)
        die(options.message_file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file); /* it was only read */
    for (size_t i = 0; i < PUBLISHERS_MAX; i++) {
        struct buf *request = &publishers[i].request;
        buf_init(request, sizeof bytes + 1000);
        if (options.grpc)
            grpc_write_head(request, len);
        else
            http_write_head(request, len);
        if (!buf_append(request, slice_of(bytes, len)))
            die("message");
    }
    struct slice whole = buf_slice(&publishers[0].request);
    for (const char *at = whole.data; token_count < TOKENS_MAX; at += 2) {
        at = memmem(at, (size_t)(whole.data + whole.len - at), "@@", 2);
        if (at == NULL)
            break;
        token_at[token_count++] = (size_t)(at - whole.data) + 2;
    }
    if (token_count != options.messages)
        die("the file has not as many tokens as messages");
}

static void
read_options(int argc, char **argv)
{
    bool ok = true;
    for (int i = 1; i + 1 < argc && ok; i += 2) {
        struct slice name = slice_str(argv[i]), value = slice_str(argv[i + 1]);
        if (slice_eq(name, SLICE("--port")))
            ok = slice_to_u64(value, &options.port);
        else if (slice_eq(name, SLICE("--app-port")))
            ok = slice_to_u64(value, &options.app_port);
        else if (slice_eq(name, SLICE("--messages")))
            ok = slice_to_u64(value, &options.messages) && options.messages <= TOKENS_MAX;
        else if (slice_eq(name, SLICE("--grpc")))
            ok = slice_to_u64(value, &options.grpc);
        else if (slice_eq(name, SLICE("--path")))
            options.path = argv[i + 1];
        else if (slice_eq(name, SLICE("--message-file")))
            options.message_file = argv[i + 1];
        else
            ok = false;
    }
    if (!ok || options.port == 0 || options.app_port == 0 || options.message_file == NULL)
        die("usage: topic_load --port N --app-port N --path PATH --message-file FILE");
}

int
main(int argc, char **argv)
{
    static struct end listener = { .on_ready = on_app_connection };
    static struct end input = { .on_ready = on_told, .fd = STDIN_FILENO };
    read_options(argc, argv);
    read_message();
    setvbuf(stdin, NULL, _IONBF, 0); /* epoll tells of what is not read yet */
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listener.fd = listen_on((uint16_t)options.app_port);
    watch(&listener);
    watch(&input);
    serve();
    return 0;
}
