/* SPDX-License-Identifier: Apache-2.0 */
/* See remote.h. */
#include "remote.h"

#include <stdio.h>
#include <string.h>

#include <dapr/proto/components/v1/state.pb-c.h>
#include <grpc/reflection/v1alpha/reflection.pb-c.h>

#include "../shared/memory.h"
#include "failure.h"
#include "kind.h"
#include "sockets.h"
#include "stream.h"
#include "wire.h"

enum {
    INIT_MS = 5000,     /* if nobody says how long it may take */
    PREPARE_MS = 10000, /* one question, when the component has come back */
    ANSWER_MS = 300,    /* before the deadline of Init, so that its words are heard */
    WORDS_BYTES = 1024,
};

static void next_step(struct remote *remote);

static void
remote_free(struct remote *remote)
{
    ev_timer_stop(remora_loop(), &remote->init_timer);
    streams_free(remote);
    channel_free(remote->channel);
    if (remote->init != NULL)
        explicit_bzero(remote->init, remote->init_bytes);
    free(remote->init);
    free(remote->operations);
    free(remote->path);
    free(remote->name);
    free(remote);
}

/* --- the first time ----------------------------------------------------------------------------*/

/* It is gone when this returns. */
static void
give_up(struct remote *remote, const struct remora_failure *failure)
{
    remora_call *call = remote->init_call;
    remote->init_call = NULL;
    remora_reply_failure(call, failure);
    remote_free(remote);
}

static void
give_up_late(struct remote *remote)
{
    char words[WORDS_BYTES];
    const char *trouble = channel_trouble(remote->channel);
    (void)snprintf(words, sizeof words, "the component behind %s is not ready: %s", remote->path,
                   trouble[0] == '\0' ? "it does not answer" : trouble);
    give_up(remote, &(struct remora_failure){ .code = REMORA_UNAVAILABLE, .message = words });
}

static void
on_init_late(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    give_up_late(timer->data);
}

static void
on_init_cancel(remora_call *call, void *arg)
{
    (void)call;
    struct remote *remote = arg;
    if (remote->init_call != NULL)
        give_up_late(remote);
}

/* --- preparing ---------------------------------------------------------------------------------*/

static uint64_t
time_for_a_step(const struct remote *remote)
{
    const uint64_t left_ms = remote->init_call == NULL
                                 ? PREPARE_MS
                                 : remora_call_time_left_ms(remote->init_call);
    return left_ms < PREPARE_MS ? left_ms : PREPARE_MS;
}

static void
failed(struct remote *remote, const char *doing, const struct rpc_end *end)
{
    char words[WORDS_BYTES], all[WORDS_BYTES + 256];
    failure_words(end, words, sizeof words);
    (void)snprintf(all, sizeof all, "%s: %s", doing, words);
    if (remote->init_call != NULL && end->is_of_component) {
        const struct remora_failure failure = { .code = end->code, .message = words };
        give_up(remote, &failure);
        return;
    }
    if (remote->init_call == NULL)
        remora_log(REMORA_WARN, "component %s behind %s: %s, trying again", remote->name,
                   remote->path, all);
    channel_refuse(remote->channel, all);
}

/* An end without an error that still is one. */
static void
refuse(struct remote *remote, enum remora_code code, const char *words)
{
    const struct rpc_end end = { .code = code, .words = words, .is_of_component = true };
    failed(remote, "preparing", &end);
}

static void
ready(struct remote *remote)
{
    remote->is_prepared = true;
    channel_ready(remote->channel);
    if (remote->init_call == NULL) {
        remora_log(REMORA_INFO, "component %s behind %s is back", remote->name, remote->path);
        streams_open(remote);
        return;
    }
    ev_timer_stop(remora_loop(), &remote->init_timer);
    remote->kind->reply(remote);
    remote->init_call = NULL;
}

static const struct step *
step_of(const struct remote *remote)
{
    return &remote->kind->steps[remote->step];
}

static void
on_step_done(void *arg, const struct rpc_end *end)
{
    struct remote *remote = arg;
    const struct step *step = step_of(remote);
    const bool is_missing = end->code == REMORA_UNIMPLEMENTED && step->is_optional;
    if (end->code != REMORA_OK && !is_missing) {
        failed(remote, step->method, end);
        return;
    }
    if (!is_missing && step->take != NULL)
        step->take(remote, end->answer);
    remote->step++;
    next_step(remote);
}

static void
next_step(struct remote *remote)
{
    while (step_of(remote)->method != NULL && (remote->services & step_of(remote)->service) == 0)
        remote->step++;
    const struct step *step = step_of(remote);
    if (step->method == NULL) {
        ready(remote);
        return;
    }
    const struct rpc_request request = {
        .method = step->method,
        .timeout_ms = time_for_a_step(remote),
        .done = on_step_done,
        .arg = remote,
    };
    struct remora_slice init = { remote->init, remote->init_bytes };
    if (!step->is_init)
        init = (struct remora_slice){ "", 0 };
    (void)channel_prepare(remote->channel, &request, init);
}

/* --- reflection --------------------------------------------------------------------------------*/

static unsigned
service_of(const char *name)
{
    static const struct {
        const char *name;
        unsigned service;
    } services[] = {
        { BRIDGE_PACKAGE "StateStore", SERVICE_STATE },
        { BRIDGE_PACKAGE "QueriableStateStore", SERVICE_QUERY },
        { BRIDGE_PACKAGE "TransactionalStateStore", SERVICE_TRANSACT },
        { BRIDGE_PACKAGE "TransactionalStoreMultiMaxSize", SERVICE_MULTI_MAX },
        { BRIDGE_PACKAGE "PubSub", SERVICE_PUBSUB },
        { BRIDGE_PACKAGE "InputBinding", SERVICE_INPUT },
        { BRIDGE_PACKAGE "OutputBinding", SERVICE_OUTPUT },
        { BRIDGE_PACKAGE "SecretStore", SERVICE_SECRETS },
    };
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (strcmp(name, services[i].name) == 0)
            return services[i].service;
    return 0;
}

#define LIST_SERVICES                                                                              \
    GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE

static bool
read_services(struct remote *remote, struct remora_slice answer)
{
    Grpc__Reflection__V1alpha__ServerReflectionResponse *in = wire_unpack(
        &grpc__reflection__v1alpha__server_reflection_response__descriptor, answer);
    const bool is_list = in != NULL && in->message_response_case == LIST_SERVICES;
    remote->services = 0;
    for (size_t i = 0; is_list && i < in->list_services_response->n_service; i++)
        remote->services |= service_of(in->list_services_response->service[i]->name);
    wire_free(in);
    return is_list;
}

static void ask_services(struct remote *remote);

static void
on_services(void *arg, const struct rpc_end *end)
{
    struct remote *remote = arg;
    char words[256];
    if (end->code == REMORA_UNIMPLEMENTED && !remote->asks_v1) {
        remote->asks_v1 = true;
        ask_services(remote);
    } else if (end->code != REMORA_OK) {
        failed(remote, "reflection", end);
    } else if (!read_services(remote, end->answer)) {
        refuse(remote, REMORA_INTERNAL, "what reflection answers is malformed");
    } else if ((remote->services & remote->kind->services) == 0) {
        (void)snprintf(words, sizeof words, "what is behind the socket is no %s",
                       remote->kind->name);
        refuse(remote, REMORA_UNIMPLEMENTED, words);
    } else {
        next_step(remote);
    }
}

/* The message {list_services: "*"} is the same in both versions. */
static void
ask_services(struct remote *remote)
{
    const struct rpc_request request = {
        .method = remote->asks_v1
                      ? "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
                      : "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        .timeout_ms = time_for_a_step(remote),
        .done = on_services,
        .arg = remote,
    };
    (void)channel_prepare(remote->channel, &request, wire_str("\x3a\x01*"));
}

static void
on_connected(void *arg)
{
    struct remote *remote = arg;
    remote->step = 0;
    remote->asks_v1 = false;
    ask_services(remote);
}

/* --- life --------------------------------------------------------------------------------------*/

/* Every service has the same message for it. */
static void
pack_init(remora_call *call, const struct remora_config *config, struct remote *remote)
{
    Dapr__Proto__Components__V1__InitRequest init = DAPR__PROTO__COMPONENTS__V1__INIT_REQUEST__INIT;
    Dapr__Proto__Components__V1__MetadataRequest metadata =
        DAPR__PROTO__COMPONENTS__V1__METADATA_REQUEST__INIT;
    init.metadata = &metadata;
    metadata.n_properties = config->metadata_count;
    metadata.properties = wire_map(
        call, config->metadata, config->metadata_count,
        &dapr__proto__components__v1__metadata_request__properties_entry__descriptor);
    const struct remora_slice packed = wire_pack(call, &init.base);
    remote->init = memory_new(packed.len + 1);
    remote->init_bytes = packed.len;
    memcpy(remote->init, packed.data, packed.len);
}

void
remote_init(remora_call *call, const struct remora_config *config, const struct kind *kind)
{
    char *path = sockets_path(config->type);
    if (path == NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "no socket can have the name of %.*s",
                           (int)config->type.len, config->type.data);
        return;
    }
    struct remote *remote = memory_new(sizeof *remote);
    remote->kind = kind;
    remote->path = path;
    remote->name = memory_slice(config->name);
    remote->init_call = call;
    remote->channel = channel_new(path, remote->name, on_connected, remote);
    pack_init(call, config, remote);
    uint64_t left_ms = remora_call_time_left_ms(call);
    left_ms = left_ms == UINT64_MAX ? INIT_MS : left_ms;
    left_ms = left_ms > 2 * ANSWER_MS ? left_ms - ANSWER_MS : left_ms / 2;
    ev_timer_init(&remote->init_timer, on_init_late, (double)left_ms / 1000., 0.);
    remote->init_timer.data = remote;
    ev_timer_start(remora_loop(), &remote->init_timer);
    remora_call_on_cancel(call, on_init_cancel, remote);
    channel_open(remote->channel);
}

void
remote_close(void *self)
{
    remote_free(self);
}

/* --- asking ------------------------------------------------------------------------------------*/

static void
on_ask_cancel(remora_call *call, void *arg)
{
    struct ask *ask = arg;
    if (ask->rpc == NULL)
        return;
    rpc_cancel(ask->rpc);
    ask->rpc = NULL;
    const bool is_late = remora_call_time_left_ms(call) == 0;
    const struct rpc_end end = {
        .code = is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED,
        .effect = REMORA_EFFECT_UNKNOWN,
        .words = is_late ? "the component did not answer in time" : "the caller has gone",
    };
    ask->answer(ask, NULL, &end);
}

static void
on_ask_done(void *arg, const struct rpc_end *end)
{
    struct ask *ask = arg;
    void *reply = end->code == REMORA_OK ? wire_unpack(ask->reply, end->answer) : NULL;
    ask->rpc = NULL;
    if (end->code == REMORA_OK && reply == NULL) {
        const struct rpc_end malformed = {
            .code = REMORA_INTERNAL,
            .effect = REMORA_EFFECT_UNKNOWN,
            .words = "the component's answer is malformed",
        };
        ask->answer(ask, NULL, &malformed);
        return;
    }
    ask->answer(ask, reply, end);
    wire_free(reply);
}

void
ask_again(struct ask *ask)
{
    const struct rpc_request request = {
        .method = ask->method,
        .timeout_ms = remora_call_time_left_ms(ask->call),
        .done = on_ask_done,
        .arg = ask,
    };
    ask->rpc = rpc_start(ask->remote->channel, &request, wire_pack(ask->call, ask->request));
}

void
ask_remote(const struct ask *ask)
{
    struct ask *kept = remora_call_alloc(ask->call, sizeof *kept);
    *kept = *ask;
    ask_again(kept);
    remora_call_on_cancel(kept->call, on_ask_cancel, kept);
}
