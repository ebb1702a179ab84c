/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state store that breaks the contract on demand, in raw frames. How it greets is chosen by the
 * variable HOSTILE_HELLO, how it answers by the key of each get: the row of `faults` with that
 * name, after the application's prefix. Any other key is answered with the value "ok", so that a
 * test can see whether the sidecar still gets what it asks for. Blocking, one thread, no SDK but
 * its codecs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pb.h"
#include "bus/frame.h"
#include "bus/sp.h"
#include "remora/plugin/v1/plugin.pb-c.h"

enum {
    IN_BYTES_MAX = 64 * 1024 * 1024,
    OUT_BYTES_MAX = 64 * 1024 * 1024,
    FLOOD_FRAMES = 100000,
    OPERATIONS_MAX = 2, /* of a transaction: what we say in our reply to Init */
    METHOD_INIT = REMORA__PLUGIN__V1__METHOD__METHOD_INIT,
    METHOD_STATE_GET = REMORA__PLUGIN__V1__METHOD__METHOD_STATE_GET,
    METHOD_HOST_STATE_GET = REMORA__PLUGIN__V1__METHOD__METHOD_HOST_STATE_GET,
};

static int sidecar = -1;
static struct buf in, out;
static struct sp_decoder decoder = { .peer = SP_PAIR0, .message_bytes_max = LIMIT_frame_bytes_max };
static uint32_t epoch;
static uint64_t host_calls;
static uint64_t late_call; /* answered only once it was cancelled */
static char token[65];

static void NORETURN
die(const char *what)
{
    fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* --- frames ------------------------------------------------------------------------------------*/

static void
flush_out(void)
{
    while (out.len > 0) {
        ssize_t sent = send(sidecar, buf_slice(&out).data, out.len, MSG_NOSIGNAL);
        if (sent <= 0)
            exit(EXIT_SUCCESS); /* it has had enough of us */
        buf_consume(&out, (size_t)sent);
    }
}

static void
put_raw(const void *bytes, size_t len)
{
    if (!buf_append(&out, slice_of(bytes, len)))
        die("output");
    if (out.len > 1024 * 1024)
        flush_out();
}

static void
put_header(uint64_t len)
{
    char header[SP_HEADER_BYTES];
    sp_header(len, header);
    put_raw(header, sizeof header);
}

static void
put(struct frame frame)
{
    frame.epoch = epoch;
    if (!frame_append(&out, &frame, NULL, 0))
        die("a frame");
    if (out.len > 1024 * 1024)
        flush_out();
}

static void
put_reply(uint64_t call, const ProtobufCMessage *reply, const char *body)
{
    struct arena arena;
    arena_init(&arena);
    struct slice message = pb_pack(&arena, reply);
    struct slice payload = arena_printf(&arena, SLICE_FMT "%s", SLICE_ARG(message), body);
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .message_bytes = (uint32_t)message.len,
                        .payload_bytes = payload.len,
                        .payload = payload });
    arena_fini(&arena);
}

/* A found value for a get. */
static void
put_value(uint64_t call, const char *text)
{
    Remora__Plugin__V1__StateValue value = REMORA__PLUGIN__V1__STATE_VALUE__INIT;
    value.found = 1;
    put_reply(call, &value.base, text);
}

static const char zeroes[128 * 1024];

/* StateValue { found: true } */
#define FOUND "\x08\x01"
enum { FOUND_BYTES = sizeof FOUND - 1 };

/* --- ways to answer a get ----------------------------------------------------------------------*/

static void
garbage(uint64_t call)
{
    (void)call;
    for (unsigned i = 0; i < 65536; i++)
        put_raw(&(char){ (char)(i * 2654435761u >> 11) }, 1);
}

static void
oversized(uint64_t call)
{
    (void)call;
    put_header(LIMIT_frame_bytes_max + 1);
    for (int i = 0; i < 3; i++)
        put_raw(zeroes, sizeof zeroes);
}

static void
endless(uint64_t call)
{
    (void)call;
    put_header(UINT64_MAX);
}

static void
no_frame(uint64_t call)
{
    (void)call;
    put_header(16);
    put_raw("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
}

static void
twice(uint64_t call)
{
    put_value(call, "first");
    put_value(call, "second");
    put_value(call, "third");
}

static void
late(uint64_t call)
{
    late_call = call;
}

static void
unasked(uint64_t call)
{
    put_value(call + 1000000, "nobody asked");
}

static void
own_number(uint64_t call)
{
    put_value(call + 1, "an even number");
}

static void
early_data(uint64_t call)
{
    put((struct frame){ .kind = FRAME_DATA, .call = call, .payload = SLICE("early") });
}

static void
overrun(uint64_t call)
{
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .message_bytes = FOUND_BYTES,
                        .payload_bytes = FOUND_BYTES + 10,
                        .payload = SLICE(FOUND "12345") });
    put((struct frame){ .kind = FRAME_DATA, .call = call, .payload = SLICE("678901") });
}

static void
impossible(uint64_t call)
{
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .message_bytes = UINT32_MAX,
                        .payload_bytes = UINT64_MAX });
}

/* Says what is coming and sends it all at once, whatever the credits are. */
static void
no_credit(uint64_t call)
{
    const uint64_t frames = 256;
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .message_bytes = FOUND_BYTES,
                        .payload_bytes = FOUND_BYTES + frames * sizeof zeroes,
                        .payload = SLICE(FOUND) });
    for (uint64_t i = 0; i < frames; i++)
        put((struct frame){
            .kind = FRAME_DATA, .call = call, .payload = slice_of(zeroes, sizeof zeroes) });
}

/* A value whose end never comes. */
static void
half(uint64_t call)
{
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .message_bytes = FOUND_BYTES,
                        .payload_bytes = FOUND_BYTES + 1000,
                        .payload = SLICE(FOUND "half") });
}

static void
not_a_value(uint64_t call)
{
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .message_bytes = 4,
                        .payload_bytes = 4,
                        .payload = SLICE("\xff\xff\xff\xff") });
}

static void
odd_code(uint64_t call)
{
    put((struct frame){ .kind = FRAME_RESPONSE,
                        .call = call,
                        .has_status = true,
                        .status = { .code = 4000000000u,
                                    .message = SLICE("\xff\xfe not\n\x1b[31m text"),
                                    .reason = SLICE("\x01"),
                                    .effect = 77 } });
}

static void
stale_epoch(uint64_t call)
{
    epoch--;
    put_value(call, "of another process");
    epoch++;
}

static void
deaf(uint64_t call)
{
    (void)call;
    flush_out();
    for (;;)
        pause();
}

static void
silent(uint64_t call)
{
    (void)call;
}

static void
second_hello(uint64_t call)
{
    (void)call;
    put((struct frame){ .kind = FRAME_HELLO });
}

static void
log_flood(uint64_t call)
{
    /* LogEntry { level: LEVEL_ERROR, message: "flood" } */
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put((struct frame){ .kind = FRAME_LOG,
                            .payload = SLICE("\x08\x04\x12\x05"
                                             "flood") });
    put_value(call, "flooded");
}

static void
host_flood(uint64_t call)
{
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put((struct frame){
            .kind = FRAME_REQUEST, .call = host_calls += 2, .method = METHOD_HOST_STATE_GET });
    put_value(call, "flooded");
}

/* Requests that are announced and never come. */
static void
host_hoard(uint64_t call)
{
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put((struct frame){ .kind = FRAME_REQUEST,
                            .call = host_calls += 2,
                            .method = METHOD_HOST_STATE_GET,
                            .payload_bytes = LIMIT_message_bytes_max });
    put_value(call, "hoarded");
}

static void
host_deep(uint64_t call)
{
    put((struct frame){ .kind = FRAME_REQUEST,
                        .call = host_calls += 2,
                        .method = METHOD_HOST_STATE_GET,
                        .depth = UINT32_MAX });
    put_value(call, "deep");
}

static void
host_odd(uint64_t call)
{
    put((struct frame){ .kind = FRAME_REQUEST, .call = call, .method = METHOD_HOST_STATE_GET });
}

static void
credit_flood(uint64_t call)
{
    for (int i = 0; i < FLOOD_FRAMES; i++) {
        put((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = UINT64_MAX });
        put((struct frame){ .kind = FRAME_CREDIT, .call = call, .credit_bytes = UINT64_MAX });
        put((struct frame){ .kind = FRAME_CANCEL, .call = host_calls });
        put((struct frame){ .kind = FRAME_EVENT });
    }
    put_value(call, "flooded");
}

static void
leave(uint64_t call)
{
    (void)call;
    flush_out();
    exit(3);
}

static void
answer_and_leave(uint64_t call)
{
    put_value(call, "last words");
    flush_out();
    exit(3);
}

static void
crash(uint64_t call)
{
    (void)call;
    fputs("hostile: about to crash\n", stderr);
    abort();
}

static void
hang_up(uint64_t call)
{
    (void)call;
    (void)shutdown(sidecar, SHUT_RDWR);
    for (;;)
        pause();
}

/* --- what a sandbox forbids: the value says how it went ----------------------------------------*/

static void
put_result(uint64_t call, long result)
{
    put_value(call, result >= 0 ? "allowed" : strerrorname_np(errno));
}

static void
try_network(uint64_t call)
{
    put_result(call, socket(AF_INET, SOCK_STREAM, 0));
}

static void
try_signal(uint64_t call)
{
    put_result(call, kill(getppid(), 0));
}

static void
try_read(uint64_t call)
{
    const char *path = getenv("HOSTILE_FILE");
    put_result(call, open(path == NULL ? "/etc/shadow" : path, O_RDONLY));
}

static void
try_write(uint64_t call)
{
    put_result(call, open("/usr/remora-hostile", O_CREAT | O_WRONLY, 0600));
}

/* A grandchild in a session of its own, which keeps running. */
static void
fork_away(uint64_t call)
{
    char text[32];
    pid_t child = fork();
    if (child == 0) {
        (void)setsid();
        if (fork() != 0)
            _exit(0);
        (void)close(sidecar);
        for (;;)
            pause();
    }
    snprintf(text, sizeof text, "%s", child < 0 ? strerrorname_np(errno) : "forked");
    if (child > 0)
        (void)waitpid(child, NULL, 0);
    put_value(call, text);
}

static const struct fault {
    const char *name;
    void (*answer)(uint64_t call);
} faults[] = {
    { "garbage", garbage },
    { "oversized", oversized },
    { "endless", endless },
    { "no-frame", no_frame },
    { "twice", twice },
    { "late", late },
    { "unasked", unasked },
    { "own-number", own_number },
    { "early-data", early_data },
    { "overrun", overrun },
    { "impossible", impossible },
    { "no-credit", no_credit },
    { "half", half },
    { "not-a-value", not_a_value },
    { "odd-code", odd_code },
    { "stale-epoch", stale_epoch },
    { "deaf", deaf },
    { "silent", silent },
    { "second-hello", second_hello },
    { "log-flood", log_flood },
    { "host-flood", host_flood },
    { "host-hoard", host_hoard },
    { "host-deep", host_deep },
    { "host-odd", host_odd },
    { "credit-flood", credit_flood },
    { "exit", leave },
    { "answer-and-exit", answer_and_leave },
    { "crash", crash },
    { "hang-up", hang_up },
    { "network", try_network },
    { "signal", try_signal },
    { "read", try_read },
    { "write", try_write },
    { "fork-away", fork_away },
};

/* --- serving -----------------------------------------------------------------------------------*/

static void
on_get(const struct frame *request)
{
    struct arena arena;
    arena_init(&arena);
    const Remora__Plugin__V1__StateGet *get = pb_unpack(
        &arena, &remora__plugin__v1__state_get__descriptor,
        slice_first(request->payload, request->message_bytes), LIMIT_frame_depth_max,
        LIMIT_message_bytes_max);
    struct slice key = slice_str(get == NULL ? "" : get->key);
    for (ptrdiff_t bar; (bar = slice_find(key, SLICE("||"))) >= 0;)
        key = slice_from(key, (size_t)bar + 2);
    const struct fault *fault = NULL;
    for (size_t i = 0; i < ARRAY_LEN(faults) && fault == NULL; i++)
        if (slice_eq(key, slice_str(faults[i].name)))
            fault = &faults[i];
    if (fault == NULL)
        put_value(request->call, "ok");
    else
        fault->answer(request->call);
    arena_fini(&arena);
}

static void
put_abilities(uint64_t call)
{
    Remora__Plugin__V1__Capability can[] = {
        REMORA__PLUGIN__V1__CAPABILITY__CAPABILITY_TRANSACTIONAL
    };
    Remora__Plugin__V1__InitReply reply = REMORA__PLUGIN__V1__INIT_REPLY__INIT;
    reply.n_capabilities = 1;
    reply.capabilities = can;
    reply.transaction_operations_max = OPERATIONS_MAX;
    put_reply(call, &reply.base, "");
}

static void
on_request(const struct frame *request)
{
    if (request->method == METHOD_STATE_GET)
        on_get(request);
    else if (request->method == METHOD_INIT)
        put_abilities(request->call);
    else /* an empty message is the right reply to everything else that matters here */
        put((struct frame){ .kind = FRAME_RESPONSE, .call = request->call });
}

static void
on_frame(const struct frame *frame)
{
    if (frame->kind == FRAME_REQUEST)
        on_request(frame);
    if (frame->kind == FRAME_REQUEST || frame->kind == FRAME_DATA)
        put((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = frame->payload.len });
    if (frame->kind == FRAME_CANCEL && frame->call == late_call) {
        put_value(late_call, "too late");
        put_value(late_call, "and again");
    }
}

/* The next frame; ends the process with the connection. */
static struct frame
next_frame(void)
{
    struct slice message;
    struct frame frame;
    enum sp_status status;
    while ((status = sp_decode(&decoder, &in, &message)) == SP_MORE) {
        flush_out();
        char *at = buf_reserve(&in, 65536);
        ssize_t got = at == NULL ? -1 : recv(sidecar, at, 65536, 0);
        if (got <= 0)
            exit(EXIT_SUCCESS);
        buf_commit(&in, (size_t)got);
    }
    if (status != SP_MESSAGE || frame_decode(message, &frame) != OK)
        die("the sidecar sends nonsense");
    return frame;
}

/* --- greeting ----------------------------------------------------------------------------------*/

static void
connect_sidecar(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *url = getenv("REMORA_URL");
    if (url == NULL || strncmp(url, "ipc://", 6) != 0 || strlen(url + 6) >= sizeof address.sun_path)
        die("REMORA_URL");
    memcpy(address.sun_path, url + 6, strlen(url + 6));
    sidecar = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(sidecar, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
}

static void
put_hello(const char *with_token, uint32_t major)
{
    struct arena arena;
    arena_init(&arena);
    char type_name[] = "state.hostile", version[] = "v1";
    char *versions[] = { version };
    Remora__Plugin__V1__ComponentType type = REMORA__PLUGIN__V1__COMPONENT_TYPE__INIT;
    Remora__Plugin__V1__ComponentType *types[] = { &type };
    type.type = type_name;
    type.versions = versions;
    type.n_versions = 1;
    Remora__Plugin__V1__Hello hello = REMORA__PLUGIN__V1__HELLO__INIT;
    hello.token = pb_string(&arena, slice_str(with_token));
    hello.protocol_major = major;
    hello.name = pb_string(&arena, SLICE("hostile"));
    hello.version = pb_string(&arena, SLICE("1.0.0"));
    hello.pid = (uint32_t)getpid();
    hello.types = types;
    hello.n_types = 1;
    put((struct frame){ .kind = FRAME_HELLO, .payload = pb_pack(&arena, &hello.base) });
    arena_fini(&arena);
}

/* Waits for the sidecar to end the connection. */
static void
wait_for_end(void)
{
    char bytes[1024];
    flush_out();
    while (recv(sidecar, bytes, sizeof bytes, 0) > 0) {
    }
    exit(EXIT_SUCCESS);
}

/* Greets as asked; returns only if that can lead to a working link. */
static void
greet(const char *how)
{
    char greeting[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_PAIR0, greeting);
    if (strcmp(how, "silent") == 0)
        wait_for_end();
    if (strcmp(how, "leave") == 0)
        exit(4);
    if (strcmp(how, "garbage") == 0) {
        put_raw("GET / HTTP/1.1\r\n\r\n", 18);
        wait_for_end();
    }
    put_raw(greeting, sizeof greeting);
    if (strcmp(how, "greet-only") == 0)
        wait_for_end();
    if (strcmp(how, "oversized") == 0) {
        put_header(LIMIT_frame_bytes_max + 1);
        wait_for_end();
    }
    if (strcmp(how, "unfinished") == 0) {
        put_header(1000);
        put_raw(zeroes, 999);
        wait_for_end();
    }
    if (strcmp(how, "request") == 0)
        put((struct frame){ .kind = FRAME_REQUEST, .call = 2, .method = METHOD_HOST_STATE_GET });
    if (strcmp(how, "wrong-token") == 0)
        token[63] = token[63] == '0' ? '1' : '0';
    put_hello(strcmp(how, "no-token") == 0 ? "" : token, strcmp(how, "wrong-version") == 0 ? 2 : 1);
    if (strcmp(how, "twice") == 0)
        put_hello(token, 1);
}

int
main(void)
{
    const char *how = getenv("HOSTILE_HELLO");
    buf_init(&in, IN_BYTES_MAX);
    buf_init(&out, OUT_BYTES_MAX);
    if (read(3, token, 64) != 64)
        die("token");
    connect_sidecar();
    greet(how == NULL ? "" : how);
    for (;;) {
        struct frame frame = next_frame();
        if (frame.kind == FRAME_HELLO_ACK)
            epoch = frame.epoch; /* in the payload too; the envelope has it as well */
        else
            on_frame(&frame);
    }
}
