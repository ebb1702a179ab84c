/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC load client for benchmarks: one connection, N calls in flight, each sending its next request
 * when the answer to the last is there (closed loop). Prints one line of JSON: calls, latencies in
 * µs, failures, its own CPU time.
 *
 * grpc_load --port 50001 --callers 16 --seconds 2 --path /dapr.proto.runtime.v1.Dapr/GetState
 *           --message-file FILE [--host 127.0.0.1] [--app-id ID]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/slice.h"

enum {
    CALLERS_MAX = 4096,
    SAMPLES_MAX = 4 * 1024 * 1024,
    PREFIX_BYTES = 5,
    FRAME_HEAD_BYTES = 9,
    MESSAGE_BYTES_MAX = 8 * 1024 * 1024,
    HEADS_BYTES = 256 * 1024,
    PARTS_MAX = 512,
    IN_BYTES = 256 * 1024,
    WINDOW_BYTES = 8 * 1024 * 1024,
    FRAME_BYTES = 256 * 1024,
};

struct caller {
    uint64_t sent_ns;
    size_t sent; /* of the message */
    bool is_ok;
};

static struct {
    uint64_t port, callers, seconds;
    const char *host, *path, *message_file, *app_id;
} options = { .callers = 1, .seconds = 1, .host = "127.0.0.1", .app_id = "" };

static struct caller callers[CALLERS_MAX];
static struct buf message;
static uint32_t *samples_ns;
static size_t sample_count;
static uint64_t failures, answer_bytes;
static bool is_over;
static int fd;

/* What is on its way to the socket. */
static struct {
    struct iovec parts[PARTS_MAX];
    size_t first, count; /* those before the first have gone */
    uint8_t heads[HEADS_BYTES];
    size_t heads_len;
} out;

__attribute__((noreturn)) static void
die(const char *what)
{
    fprintf(stderr, "grpc_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- output: heads are copied, messages are sent from where they are ---------------------------*/

static void
add_part(const void *data, size_t len)
{
    out.parts[out.count++] = (struct iovec){ (void *)(uintptr_t)data, len };
}

static void
add_head(const uint8_t *data, size_t len)
{
    if (len > sizeof out.heads - out.heads_len)
        die("a head that is too large");
    memcpy(out.heads + out.heads_len, data, len);
    add_part(out.heads + out.heads_len, len);
    out.heads_len += len;
}

static bool
is_full(void)
{
    return out.count + 2 > PARTS_MAX || out.heads_len > sizeof out.heads / 2;
}

static ssize_t
measure(nghttp2_session *session, int32_t id, uint8_t *to, size_t len, uint32_t *flags,
        nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)id;
    (void)to;
    (void)arg;
    const struct caller *caller = source->ptr;
    size_t left = message.len - caller->sent, bytes = left < len ? left : len;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY | (bytes == left ? NGHTTP2_DATA_FLAG_EOF : 0);
    return (ssize_t)bytes;
}

static int
send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
          nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)frame;
    (void)arg;
    struct caller *caller = source->ptr;
    if (is_full())
        return NGHTTP2_ERR_WOULDBLOCK;
    add_head(head, FRAME_HEAD_BYTES);
    add_part(buf_slice(&message).data + caller->sent, len);
    caller->sent += len;
    return 0;
}

#define NV(n, v)                                                                                   \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = strlen(n), .valuelen = strlen(v),                                               \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                      \
    }

static void
call(nghttp2_session *session, struct caller *caller)
{
    const nghttp2_nv nva[] = {
        NV(":method", "POST"),     NV(":scheme", "http"),
        NV(":path", options.path), NV(":authority", "localhost"),
        NV("te", "trailers"),      NV("content-type", "application/grpc"),
        NV("user-agent", "load"),  NV("dapr-app-id", options.app_id),
    };
    size_t count = sizeof nva / sizeof *nva - (options.app_id[0] == '\0');
    const nghttp2_data_provider provider = { .source.ptr = caller, .read_callback = measure };
    caller->sent = 0;
    caller->is_ok = false;
    caller->sent_ns = clock_now_ns();
    if (nghttp2_submit_request(session, NULL, nva, count, &provider, caller) < 0)
        die("submit");
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    struct caller *caller = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (caller != NULL && name_len == 11 && memcmp(name, "grpc-status", 11) == 0)
        caller->is_ok = value_len == 1 && value[0] == '0';
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
        void *arg)
{
    (void)session;
    (void)flags;
    (void)id;
    (void)data;
    (void)arg;
    answer_bytes += len;
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    (void)arg;
    struct caller *caller = nghttp2_session_get_stream_user_data(session, id);
    uint64_t took_ns = clock_now_ns() - caller->sent_ns;
    failures += !caller->is_ok;
    if (sample_count < SAMPLES_MAX)
        samples_ns[sample_count++] = took_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ns;
    if (!is_over)
        call(session, caller);
    return 0;
}

/* As large as the server takes them. */
static ssize_t
frame_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t conn_window,
             int32_t stream_window, uint32_t frame_max, void *arg)
{
    (void)session;
    (void)type;
    (void)id;
    (void)arg;
    int32_t window = conn_window < stream_window ? conn_window : stream_window;
    int32_t max = frame_max < FRAME_BYTES ? (int32_t)frame_max : FRAME_BYTES;
    return window < max ? window : max;
}

static nghttp2_session *
new_session(void)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        die("out of memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
    if (nghttp2_session_client_new(&session, callbacks, NULL) != 0)
        die("out of memory");
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES },
    };
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES * 4) != 0)
        die("settings");
    return session;
}

static void
consume(size_t bytes)
{
    for (; out.first < out.count && bytes >= out.parts[out.first].iov_len; out.first++)
        bytes -= out.parts[out.first].iov_len;
    if (out.first == out.count) {
        out.first = out.count = out.heads_len = 0;
    } else {
        struct iovec *part = &out.parts[out.first];
        part->iov_base = (char *)part->iov_base + bytes;
        part->iov_len -= bytes;
    }
}

/* What the session has to say, in few writes; false: the answers have to make room first. */
static bool
send_all(nghttp2_session *session)
{
    for (;;) {
        const uint8_t *data;
        ssize_t len;
        while (out.first == 0 && !is_full() && (len = nghttp2_session_mem_send(session, &data)) > 0)
            add_head(data, (size_t)len);
        if (out.count == 0)
            return true;
        struct msghdr batch = { .msg_iov = out.parts + out.first,
                                .msg_iovlen = out.count - out.first };
        ssize_t sent = sendmsg(fd, &batch, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return false;
        if (sent < 0)
            die("send");
        consume((size_t)sent);
    }
}

static void
run(nghttp2_session *session)
{
    static uint8_t in[IN_BYTES];
    uint64_t until_ns = clock_now_ns() + options.seconds * UINT64_C(1000000000);
    for (uint64_t i = 0; i < options.callers; i++)
        call(session, &callers[i]);
    while (!is_over) {
        bool is_sent = send_all(session);
        ssize_t got = recv(fd, in, sizeof in, is_sent ? 0 : MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got <= 0)
            die("the connection ended");
        if (nghttp2_session_mem_recv(session, in, (size_t)got) != got)
            die("malformed answer");
        is_over = clock_now_ns() >= until_ns;
    }
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double
percentile_us(double part)
{
    return sample_count == 0 ? 0 : samples_ns[(size_t)((double)(sample_count - 1) * part)] / 1000.0;
}

static void
report(double seconds)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail */
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(samples_ns, sample_count, sizeof *samples_ns, by_value);
    printf("{\"calls\":%zu,\"rps\":%.1f,\"failures\":%lu,\"bytes\":%lu,\"p50_us\":%.1f,"
           "\"p99_us\":%.1f,\"max_us\":%.1f,\"cpu_s\":%.4f}\n",
           sample_count, (double)sample_count / seconds, failures, answer_bytes, percentile_us(0.5),
           percentile_us(0.99), percentile_us(1), cpu_s);
}

static void
read_options(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        struct slice name = slice_str(argv[i]), value = slice_str(argv[i + 1]);
        bool ok = true;
        if (slice_eq(name, SLICE("--port")))
            ok = slice_to_u64(value, &options.port);
        else if (slice_eq(name, SLICE("--callers")))
            ok = slice_to_u64(value, &options.callers) && options.callers <= CALLERS_MAX;
        else if (slice_eq(name, SLICE("--seconds")))
            ok = slice_to_u64(value, &options.seconds);
        else if (slice_eq(name, SLICE("--path")))
            options.path = argv[i + 1];
        else if (slice_eq(name, SLICE("--host")))
            options.host = argv[i + 1];
        else if (slice_eq(name, SLICE("--app-id")))
            options.app_id = argv[i + 1];
        else if (slice_eq(name, SLICE("--message-file")))
            options.message_file = argv[i + 1];
        else
            ok = false;
        if (!ok) {
            fprintf(stderr, "grpc_load: %s: no such option, or no good value\n", argv[i]);
            exit(2);
        }
    }
    if (options.port == 0 || options.path == NULL || options.message_file == NULL) {
        fprintf(stderr, "grpc_load: --port, --path and --message-file are needed\n");
        exit(2);
    }
}

/* The message behind its prefix. */
static void
read_file(void)
{
    static char bytes[MESSAGE_BYTES_MAX];
    FILE *file = fopen(options.message_file, "rb");
    if (file == NULL)
        die(options.message_file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file); /* it was only read */
    const char prefix[PREFIX_BYTES] = { 0, (char)(len >> 24), (char)(len >> 16), (char)(len >> 8),
                                        (char)len };
    buf_init(&message, sizeof bytes + PREFIX_BYTES);
    if (!buf_append(&message, slice_of(prefix, sizeof prefix)) ||
        !buf_append(&message, slice_of(bytes, len)))
        die("message");
}

int
main(int argc, char **argv)
{
    read_options(argc, argv);
    read_file();
    samples_ns = malloc(SAMPLES_MAX * sizeof *samples_ns);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)options.port) };
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (samples_ns == NULL || inet_pton(AF_INET, options.host, &address.sin_addr) != 1 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
    nghttp2_session *session = new_session();
    uint64_t began_ns = clock_now_ns();
    run(session);
    report((double)(clock_now_ns() - began_ns) / 1e9);
    nghttp2_session_del(session);
    free(samples_ns);
    buf_fini(&message);
    return 0;
}
