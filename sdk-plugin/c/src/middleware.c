/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP middleware: a request decoded and handed to the type's function, its verdict encoded. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

void
middleware_run(struct remora_call *call)
{
    const struct remora_middleware_ops *ops = call->component->type->middleware;
    if (ops == NULL || ops->handle == NULL) {
        call_refuse_unsupported(call);
        return;
    }
    const Remora__Plugin__V1__MiddlewareRequest *in = call_unpack(
        call, &remora__plugin__v1__middleware_request__descriptor);
    if (in == NULL) {
        call_refuse_malformed(call, "MiddlewareRequest");
        return;
    }
    struct remora_pair *headers = ARENA_ARRAY(&call->arena, struct remora_pair, in->n_headers);
    for (size_t i = 0; i < in->n_headers; i++)
        headers[i] = (struct remora_pair){ .name = to_remora(slice_str(in->headers[i]->name)),
                                           .value = to_remora(pb_slice(in->headers[i]->value)) };
    struct remora_http_request *request = ARENA_NEW(&call->arena, struct remora_http_request);
    *request = (struct remora_http_request){
        .method = to_remora(slice_str(in->method)),
        .path = to_remora(pb_slice(in->path)),
        .query = to_remora(pb_slice(in->query)),
        .authority = to_remora(pb_slice(in->authority)),
        .headers = headers,
        .header_count = in->n_headers,
        .is_for_app = in->is_for_app,
        .peer_address = to_remora(slice_str(in->peer_address)),
        .body = to_remora(call->body),
    };
    ops->handle(call, call->component->self, request);
}

bool
remora_http_header(const struct remora_http_request *request, const char *name,
                   struct remora_slice *ret_value)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (slice_eq_nocase(from_remora(request->headers[i].name), slice_str(name))) {
            *ret_value = request->headers[i].value;
            return true;
        }
    }
    return false;
}

/* --- the verdict -------------------------------------------------------------------------------*/

static Remora__Plugin__V1__MiddlewareHeader **
pack_headers(struct arena *arena, const struct remora_pair *from, size_t count)
{
    Remora__Plugin__V1__MiddlewareHeader **headers = ARENA_ARRAY(
        arena, Remora__Plugin__V1__MiddlewareHeader *, count);
    for (size_t i = 0; i < count; i++) {
        headers[i] = ARENA_NEW(arena, Remora__Plugin__V1__MiddlewareHeader);
        remora__plugin__v1__middleware_header__init(headers[i]);
        headers[i]->name = arena_str(arena, from_remora(from[i].name));
        headers[i]->value = pb_bytes(from_remora(from[i].value));
    }
    return headers;
}

void
remora_middleware_reply(remora_call *call, const struct remora_http_verdict *verdict)
{
    assert(call->method == METHOD(MIDDLEWARE_HANDLE));
    struct arena *arena = &call->arena;
    Remora__Plugin__V1__MiddlewareReply reply = REMORA__PLUGIN__V1__MIDDLEWARE_REPLY__INIT;
    char **removes = ARENA_ARRAY(arena, char *, verdict->remove_count);
    for (size_t i = 0; i < verdict->remove_count; i++)
        removes[i] = arena_str(arena, from_remora(verdict->removes[i]));
    reply.status = (uint32_t)verdict->status;
    reply.n_headers = verdict->header_count;
    reply.headers = pack_headers(arena, verdict->headers, verdict->header_count);
    reply.method = arena_str(arena, from_remora(verdict->method));
    reply.path = pb_bytes(from_remora(verdict->path));
    reply.sets_query = verdict->sets_query;
    reply.query = pb_bytes(from_remora(verdict->query));
    reply.n_removes = verdict->remove_count;
    reply.removes = removes;
    reply.n_sets = verdict->set_count;
    reply.sets = pack_headers(arena, verdict->sets, verdict->set_count);
    reply.sets_body = verdict->sets_body;
    const struct remora_bytes body = { .data = verdict->body.data, .len = verdict->body.len };
    call_reply(call, pb_pack(arena, &reply.base), &body, 1);
}
