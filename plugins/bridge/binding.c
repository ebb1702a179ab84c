/* SPDX-License-Identifier: Apache-2.0 */
/* See binding.h. */
#include "binding.h"

#include <string.h>

#include <dapr/proto/components/v1/bindings.pb-c.h>

#include "../shared/memory.h"
#include "failure.h"
#include "kind.h"
#include "stream.h"
#include "wire.h"

typedef Dapr__Proto__Components__V1__InvokeRequest invoke_t;
typedef Dapr__Proto__Components__V1__InvokeResponse response_t;
typedef Dapr__Proto__Components__V1__ReadResponse event_t;
typedef Dapr__Proto__Components__V1__ReadRequest acknowledgement_t;

#define METHOD(service, name) "/" BRIDGE_PACKAGE service "/" name

enum { OPERATIONS_BYTES_MAX = 4096 };

/* --- output ------------------------------------------------------------------------------------*/

static void
on_invoked(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const response_t *in = reply;
    if (in == NULL) {
        const struct remora_failure failure = failure_of(ask->call, end);
        remora_reply_failure(ask->call, &failure);
        return;
    }
    const struct remora_bytes data = { .data = in->data.data, .len = in->data.len };
    remora_binding_reply(ask->call, data, wire_pairs(ask->call, in->metadata, in->n_metadata),
                         in->n_metadata, NULL);
}

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *from)
{
    invoke_t request = DAPR__PROTO__COMPONENTS__V1__INVOKE_REQUEST__INIT;
    request.operation = wire_text(call, from->operation);
    request.data = wire_bytes(from->data);
    request.n_metadata = from->metadata_count;
    request.metadata = wire_map(
        call, from->metadata, from->metadata_count,
        &dapr__proto__components__v1__invoke_request__metadata_entry__descriptor);
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("OutputBinding", "Invoke"),
        .request = &request.base,
        .reply = &dapr__proto__components__v1__invoke_response__descriptor,
        .answer = on_invoked,
    };
    ask_remote(&ask);
}

/* --- input -------------------------------------------------------------------------------------*/

static void
on_handled(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
           size_t metadata_count, void *arg)
{
    (void)metadata; /* the protocol has no place for them */
    (void)metadata_count;
    struct flight *flight = arg;
    acknowledgement_t out = DAPR__PROTO__COMPONENTS__V1__READ_REQUEST__INIT;
    Dapr__Proto__Components__V1__AckResponseError error =
        DAPR__PROTO__COMPONENTS__V1__ACK_RESPONSE_ERROR__INIT;
    char *id = memory_text(flight_id(flight)), words[] = "the application did not handle the event";
    out.message_id = id;
    if (is_handled)
        out.response_data = wire_bytes(data);
    error.message = words;
    out.response_error = is_handled ? NULL : &error;
    uint8_t *room = memory_new(protobuf_c_message_get_packed_size(&out.base) + 1);
    const size_t len = protobuf_c_message_pack(&out.base, room);
    flight_land(flight, (struct remora_slice){ (char *)room, len });
    free(room);
    free(id);
}

static bool
hand_over(struct stream *stream, struct flight *flight, struct remora_slice message)
{
    event_t *in = wire_unpack(&dapr__proto__components__v1__read_response__descriptor, message);
    if (in == NULL)
        return false;
    struct remora_pair *pairs = memory_new((in->n_metadata + 1) * sizeof *pairs);
    for (size_t i = 0; i < in->n_metadata; i++)
        pairs[i] = (struct remora_pair){ wire_str(in->metadata[i]->key),
                                         wire_str(in->metadata[i]->value) };
    const struct remora_event event = {
        .data = wire_slice(in->data),
        .metadata = pairs,
        .metadata_count = in->n_metadata,
    };
    flight_set_id(flight, in->message_id);
    remora_binding_event(stream_id(stream), &event, on_handled, flight);
    free(pairs);
    wire_free(in);
    return true;
}

static const struct stream_kind reading_kind = {
    .method = METHOD("InputBinding", "Read"),
    .hand_over = hand_over,
};

static void
read_events(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    stream_open(self, &reading_kind, reading, (struct remora_slice){ NULL, 0 }, window);
    remora_reply_ok(call);
}

static void
stop(remora_call *call, void *self, uint64_t reading)
{
    stream_stop(self, reading, call);
}

void
binding_quiesce(remora_call *call, void *self)
{
    streams_stop(self, call);
}

/* --- what it can do ----------------------------------------------------------------------------*/

static bool
is_operation(const char *name)
{
    return name[0] != '\0' && strpbrk(name, ", ") == NULL;
}

static void
take_operations(struct remote *remote, struct remora_slice answer)
{
    Dapr__Proto__Components__V1__ListOperationsResponse *in = wire_unpack(
        &dapr__proto__components__v1__list_operations_response__descriptor, answer);
    char *list = memory_new(OPERATIONS_BYTES_MAX);
    size_t len = 0;
    for (size_t i = 0; in != NULL && i < in->n_operations; i++) {
        const char *name = in->operations[i];
        if (is_operation(name) && len + strlen(name) + 2 < OPERATIONS_BYTES_MAX)
            len += (size_t)snprintf(list + len, OPERATIONS_BYTES_MAX - len, "%s%s",
                                    len == 0 ? "" : ",", name);
    }
    wire_free(in);
    free(remote->operations);
    remote->operations = list;
}

static void
reply_ready(struct remote *remote)
{
    const unsigned services = remote->services;
    remora_reply_init_binding(
        remote->init_call, remote,
        ((services & SERVICE_INPUT) != 0 ? (unsigned)REMORA_CAP_INPUT_BINDING : 0) |
            ((services & SERVICE_OUTPUT) != 0 ? (unsigned)REMORA_CAP_OUTPUT_BINDING : 0),
        remote->operations == NULL ? "" : remote->operations);
}

static const struct step steps[] = {
    { .service = SERVICE_INPUT, .method = METHOD("InputBinding", "Init"), .is_init = true },
    { .service = SERVICE_OUTPUT, .method = METHOD("OutputBinding", "Init"), .is_init = true },
    { .service = SERVICE_OUTPUT,
      .method = METHOD("OutputBinding", "ListOperations"),
      .is_optional = true,
      .take = take_operations },
    { .service = 0 },
};

const struct kind kind_binding = {
    .name = "binding",
    .services = SERVICE_INPUT | SERVICE_OUTPUT,
    .steps = steps,
    .reply = reply_ready,
};

const struct remora_binding_ops binding_ops = {
    .invoke = invoke,
    .read = read_events,
    .stop = stop,
};
