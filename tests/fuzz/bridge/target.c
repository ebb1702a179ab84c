/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pluggable components that do what the input says, step by step, behind the socket that the plugin
 * `bridge` asks: answers of gRPC with any content, frames in any order, raw bytes, time passing,
 * the end of the connection. All of the plugin but its main() is there; the sidecar is played here,
 * as are its clock and its applications. Each call is answered once, no more messages than a window
 * allows are handed over, and when the component is closed nothing is left.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugins/bridge/binding.h"
#include "plugins/bridge/pubsub.h"
#include "plugins/bridge/remote.h"
#include "plugins/bridge/secrets.h"
#include "plugins/bridge/state.h"
#include "plugins/shared/base64.h"

#include "fuzz_peer.h"
#include "sidecar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS = 4 };

static char folder[] = "/tmp/bridge-fuzz-XXXXXX", path[64];
static int listener = -1;

/* --- what it asks of the component -------------------------------------------------------------*/

#define TEXT(text) ((struct remora_slice){ text, sizeof text - 1 })

static const struct remora_pair pair = { { "name", 4 }, { "value", 5 } };

static void
ask_state(unsigned which)
{
    const struct remora_state_get get = { .key = TEXT("a") };
    const struct remora_state_get gets[] = { get, { .key = TEXT("b") } };
    const struct remora_state_set sets[] = { { .key = TEXT("a"), .value = TEXT("1") },
                                             { .key = TEXT("b"), .value = TEXT("2") } };
    const struct remora_state_delete dels[] = {
        { .key = TEXT("a") }, { .key = TEXT("b"), .has_etag = true, .etag = TEXT("1") }
    };
    const struct remora_state_operation ops[] = { { .set = sets[0] },
                                                  { .is_delete = true, .del = dels[1] } };
    switch (which % 8) {
    case 0:
        state_ops.get(call_new(), self, &get);
        break;
    case 1:
        state_ops.get_many(call_new(), self, gets, 2, 1);
        break;
    case 2:
        state_ops.set(call_new(), self, &sets[0]);
        break;
    case 3:
        state_ops.set_many(call_new(), self, sets, 2);
        break;
    case 4:
        state_ops.del(call_new(), self, &dels[1]);
        break;
    case 5:
        state_ops.delete_many(call_new(), self, dels, 2);
        break;
    case 6:
        state_ops.transact(call_new(), self, ops, 2, &pair, 1);
        break;
    default:
        state_ops.query(call_new(), self, TEXT("{\"filter\":{\"EQ\":{\"a\":1}}}"), TEXT("shop||"),
                        &pair, 1);
        break;
    }
}

static void
ask_pubsub(unsigned which)
{
    static uint64_t subscriptions;
    const struct remora_publish messages[] = {
        { .topic = TEXT("t"), .data = TEXT("1"), .entry_id = TEXT("1") },
        { .topic = TEXT("t"), .data = TEXT("2"), .entry_id = TEXT("2") }
    };
    const struct remora_subscription subscription = { .id = subscriptions + 1,
                                                      .topic = TEXT("t"),
                                                      .window = WINDOW };
    switch (which % 6) {
    case 0:
        pubsub_ops.publish(call_new(), self, &messages[0]);
        break;
    case 1:
        pubsub_ops.publish_many(call_new(), self, messages, 2, &pair, 1);
        break;
    case 2:
        pubsub_ops.unsubscribe(call_new(), self, subscriptions);
        break;
    case 3:
        pubsub_start(call_new(), self);
        break;
    default:
        subscriptions++;
        pubsub_ops.subscribe(call_new(), self, &subscription);
        break;
    }
}

static void
ask_binding(unsigned which)
{
    static uint64_t readings;
    const struct remora_binding_request request = {
        .operation = TEXT("create"), .data = TEXT("1"), .metadata = &pair, .metadata_count = 1
    };
    switch (which % 4) {
    case 0:
    case 1:
        binding_ops.invoke(call_new(), self, &request);
        break;
    case 2:
        binding_ops.read(call_new(), self, ++readings, WINDOW);
        break;
    default:
        binding_ops.stop(call_new(), self, readings);
        break;
    }
}

static void
ask_secrets(unsigned which)
{
    if (which % 2 == 0)
        secret_ops.get(call_new(), self, TEXT("a"), &pair, 1);
    else
        secret_ops.get_all(call_new(), self, NULL, 0);
}

/* Services of proto/dapr/proto/components/v1, as reflection lists them. */
static const struct role {
    const struct kind *kind;
    const char *type;
    const char *services[4];
    unsigned steps; /* they are asked, after reflection */
    void (*ask)(unsigned which);
    void (*quiesce)(remora_call *call, void *self);
} roles[] = {
    { .kind = &kind_state,
      .type = "state.fuzz",
      .services = { "StateStore", "QueriableStateStore", "TransactionalStateStore",
                    "TransactionalStoreMultiMaxSize" },
      .steps = 3,
      .ask = ask_state },
    { .kind = &kind_pubsub,
      .type = "pubsub.fuzz",
      .services = { "PubSub" },
      .steps = 2,
      .ask = ask_pubsub,
      .quiesce = pubsub_quiesce },
    { .kind = &kind_binding,
      .type = "bindings.fuzz",
      .services = { "InputBinding", "OutputBinding" },
      .steps = 3,
      .ask = ask_binding,
      .quiesce = binding_quiesce },
    { .kind = &kind_secrets,
      .type = "secretstores.fuzz",
      .services = { "SecretStore" },
      .steps = 2,
      .ask = ask_secrets },
};

/* --- the component -----------------------------------------------------------------------------*/

static void
turn(void)
{
    (void)ev_run(remora_loop(), EVRUN_NOWAIT); /* whether it has watchers left */
    if (peer < 0)
        peer = accept(listener, NULL, NULL);
}

static void
turns(void)
{
    for (int i = 0; i < TURNS; i++)
        turn();
}

static void
give_framed(unsigned type, unsigned flags, unsigned stream, const void *bytes, size_t len)
{
    const unsigned char head[9] = { (unsigned char)(len >> 16),
                                    (unsigned char)(len >> 8),
                                    (unsigned char)len,
                                    (unsigned char)type,
                                    (unsigned char)flags,
                                    0,
                                    0,
                                    (unsigned char)(stream >> 8),
                                    (unsigned char)stream };
    give(head, sizeof head);
    give(bytes, len);
}

enum { DATA, HEADERS, END_STREAM = 1, END_HEADERS = 4 };

static void
give_head(unsigned stream)
{
    static const char head[] = "\x88\x0f\x10\x10"
                               "application/grpc";
    give_framed(HEADERS, END_HEADERS, stream, head, sizeof head - 1);
}

static void
give_message(unsigned stream, const void *bytes, size_t len)
{
    unsigned char message[5 + 2048] = { 0, 0, 0, (unsigned char)(len >> 8), (unsigned char)len };
    assert(len <= 2048);
    memcpy(message + 5, bytes, len);
    give_framed(DATA, 0, stream, message, 5 + len);
}

/* `details` are what the component says of the failure in its own form. */
static void
give_status(unsigned stream, unsigned status, struct remora_slice details)
{
    char trailers[1024], encoded[512];
    int len = snprintf(trailers, sizeof trailers, "%c\x0bgrpc-status%c%u", 0, status < 10 ? 1 : 2,
                       status);
    size_t text = base64_encoded_len(details.len);
    assert(text < 127); /* so long is a length of one byte */
    base64_encode(details.data, details.len, encoded);
    if (details.len > 0)
        len += snprintf(trailers + len, sizeof trailers - (size_t)len,
                        "%c\x17grpc-status-details-bin%c%.*s", 0, (int)text, (int)text, encoded);
    give_framed(HEADERS, END_HEADERS | END_STREAM, stream, trailers, (size_t)len);
}

static struct remora_slice
take_bytes(struct input *in, size_t len)
{
    const size_t left = (size_t)(in->end - in->at);
    const struct remora_slice bytes = { (const char *)in->at, len < left ? len : left };
    in->at += bytes.len;
    return bytes;
}

/* With the input's message and, unless it goes on, status. */
static void
give_answer(struct input *in)
{
    const unsigned stream = take(in) * 2 + 1, how = take(in);
    const struct remora_slice message = take_bytes(in, take(in));
    if ((how & 1) == 0)
        give_head(stream);
    give_message(stream, message.data, message.len);
    if ((how & 2) == 0)
        give_status(stream, how >> 2 & 15, take_bytes(in, (how & 64) != 0 ? take(in) % 90 : 0));
}

static void
give_settings(void)
{
    give("\0\0\0\4\0\0\0\0\0", 9);
}

/* Answers what it is asked before it is used. */
static void
give_preparation(const struct role *role)
{
    char services[512];
    size_t len = 0;
    for (size_t i = 0; i < 4 && role->services[i] != NULL; i++) {
        size_t name = strlen(BRIDGE_PACKAGE) + strlen(role->services[i]);
        len += (size_t)snprintf(services + len, sizeof services - len, "\x0a%c\x0a%c%s%s",
                                (int)name + 2, (int)name, BRIDGE_PACKAGE, role->services[i]);
    }
    char list[600] = { 0x32, (char)(len | 0x80), (char)(len >> 7) };
    memcpy(list + 3, services, len);
    turns();
    for (unsigned i = 0; i <= role->steps; i++) {
        unsigned stream = 2 * i + 1;
        give_head(stream);
        give_message(stream, list, i == 0 ? len + 3 : 0);
        give_status(stream, 0, TEXT(""));
        turns();
    }
}

static void
hang_up(void)
{
    (void)close(peer);
    peer = -1;
    turn();
}

static void
step(struct input *in, const struct role *role)
{
    switch (take(in) % 13) {
    case 0:
        give_frame(in);
        break;
    case 1:
        give_rest(in, take(in));
        break;
    case 2:
    case 3:
    case 4:
        give_answer(in);
        break;
    case 5:
        pass(take(in) * 0.05);
        break;
    case 6:
        hear();
        break;
    case 7:
        if (self != NULL && call_count < CALLS_MAX && alarm_count < TIMERS_MAX / 2)
            role->ask(take(in));
        break;
    case 8:
        hang_up();
        break;
    case 9:
        if (handed_count > 0)
            land(take(in) % handed_count, take(in) % 2 == 0);
        break;
    case 10:
        if (call_count > 0)
            cancel(calls[take(in) % call_count]);
        break;
    case 11:
        give_settings(); /* on another connection than before */
        give_preparation(role);
        break;
    default:
        turn();
        break;
    }
}

/* --- the whole ---------------------------------------------------------------------------------*/

static void
end(void)
{
    (void)close(listener);
    (void)unlink(path);
    (void)rmdir(folder);
    ev_loop_destroy(remora_loop());
}

static void
set_up(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (listener >= 0)
        return;
    char *made = mkdtemp(folder);
    assert(made != NULL);
    (void)snprintf(path, sizeof path, "%s/fuzz.sock", folder); /* fits */
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(fd >= 0);
    int failed = bind(fd, (struct sockaddr *)&address, sizeof address);
    failed |= listen(fd, 16);
    failed |= atexit(end);
    failed |= setenv("DAPR_COMPONENTS_SOCKETS_FOLDER", folder, 1);
    assert(!failed);
    listener = fd;
}

static void
init(const struct role *role)
{
    const struct remora_config config = { .name = TEXT("fuzz"),
                                          .type = { role->type, strlen(role->type) },
                                          .metadata = &pair,
                                          .metadata_count = 1 };
    init_call = call_new();
    remote_init(init_call, &config, role->kind);
    pass(0); /* dials */
    turns();
}

/* As a sidecar ends: nobody waits any more, then the component is closed. */
static void
wind_up(const struct role *role, bool is_quiesced)
{
    if (is_quiesced && self != NULL && role->quiesce != NULL && call_count < CALLS_MAX)
        role->quiesce(call_new(), self);
    for (size_t i = call_count; i-- > 0;)
        if (i < call_count) /* one may end another */
            cancel(calls[i]);
    for (int i = 0; i < 100 && (call_count > 0 || handed_count > 0); i++) {
        while (handed_count > 0)
            land(0, true);
        turn();
        pass(1);
    }
    assert(call_count == 0 && handed_count == 0);
    if (self != NULL)
        remote_close(self);
    self = NULL;
    assert(alarm_count == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    struct input in = { data, data + size };
    const struct role *role = &roles[take(&in) % (sizeof roles / sizeof roles[0])];
    init(role);
    unsigned how = take(&in);
    if (how % 4 != 0)
        give_settings();
    if (how % 8 != 1)
        give_preparation(role);
    assert(how % 4 == 0 || how % 8 == 1 || self != NULL);
    while (in.at < in.end)
        step(&in, role);
    turns();
    wind_up(role, (how & 16) != 0);
    (void)close(peer);
    peer = -1;
    int left;
    while ((left = accept(listener, NULL, NULL)) >= 0)
        (void)close(left); /* dialled, and not needed any more */
    return 0;
}
