/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the sidecar itself to a gRPC application; see grpc_app.h. */
#include "app/grpc_app.h"

#include "base/clock.h"
#include "base/wire.h"
#include "http/verb.h"
#include "telemetry/rpc_metrics.h"

#define BULK_ALPHA SLICE("/dapr.proto.runtime.v1.AppCallbackAlpha/OnBulkTopicEventAlpha1")
#define CALLBACK "/dapr.proto.runtime.v1.AppCallback/"
#define PROBE SLICE("/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck")

enum { INVOKE_FRAME_BYTES = 128 };

/* --- metadata ----------------------------------------------------------------------------------*/

static size_t
put_token(const struct app_settings *settings, struct http_header *headers)
{
    if (settings->api_token.len == 0)
        return 0;
    headers[0] = (struct http_header){ SLICE("dapr-api-token"), settings->api_token };
    return 1;
}

size_t
app_grpc_metadata(const struct app_settings *settings, struct slice caller_id,
                  struct slice caller_namespace,
                  struct http_header ret_headers[APP_GRPC_METADATA_MAX])
{
    size_t count = put_token(settings, ret_headers);
    ret_headers[count++] = (struct http_header){ SLICE("dapr-caller-app-id"), caller_id };
    ret_headers[count++] = (struct http_header){ SLICE("dapr-caller-namespace"), caller_namespace };
    ret_headers[count++] = (struct http_header){ SLICE("dapr-callee-app-id"), settings->app_id };
    return count;
}

/* --- questions of our own ----------------------------------------------------------------------*/

static err_t
ask(struct task *t, struct app_channel *channel, struct slice path, struct slice message,
    const struct http_header *metadata, size_t metadata_count, struct grpc_answer *ret_answer)
{
    const struct app_settings *settings = app_settings(channel->app);
    struct client *client = app_grpc_client(channel);
    if (client == NULL)
        return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, "there is no application");
    const struct grpc_question question = { .path = path,
                                            .message = message,
                                            .metadata = metadata,
                                            .metadata_count = metadata_count,
                                            .answer_bytes_max = settings->body_bytes_max };
    uint64_t started_ns = clock_now_ns();
    err_t err = grpc_ask(t, client, &question, ret_answer); /* suspends */
    uint64_t took_ns = clock_now_ns() - started_ns;
    if (slice_eq(path, PROBE))
        rpc_count_probe(ret_answer->code, took_ns);
    else
        rpc_count_client(&(struct rpc_count){ .method = path,
                                              .code = ret_answer->code,
                                              .sent_bytes = message.len,
                                              .received_bytes = ret_answer->message.len,
                                              .took_ns = took_ns });
    return err;
}

static err_t
ask_plain(struct task *t, struct app_channel *channel, struct slice path,
          struct grpc_answer *ret_answer)
{
    struct http_header token[1];
    size_t count = put_token(app_settings(channel->app), token);
    return ask(t, channel, path, SLICE_EMPTY, token, count, ret_answer);
}

err_t
app_grpc_probe(struct task *t, struct app_channel *channel)
{
    struct grpc_answer answer = { 0 };
    err_t err = ask_plain(t, channel, PROBE, &answer);
    if (err == OK && answer.code != GRPC_OK)
        err = DIAG_FAIL(task_diag(t), ERR_PEER_LOST, "rpc error: code = %s desc = " SLICE_FMT,
                        grpc_code_name(answer.code), SLICE_ARG(answer.text));
    return err;
}

/* A list that an application need not have. */
static err_t
ask_list(struct task *t, struct app_channel *channel, struct slice path, struct slice *ret_answer)
{
    struct grpc_answer answer = { 0 };
    err_t err = ask_plain(t, channel, path, &answer);
    if (err != OK)
        return err;
    if (answer.code != GRPC_OK && answer.code != GRPC_UNIMPLEMENTED)
        return DIAG_FAIL(task_diag(t), ERR_PEER_LOST, "rpc error: code = %s desc = " SLICE_FMT,
                         grpc_code_name(answer.code), SLICE_ARG(answer.text));
    *ret_answer = answer.message;
    return OK;
}

err_t
app_grpc_subscriptions(struct task *t, struct app_channel *channel, struct slice *ret_answer)
{
    return ask_list(t, channel, SLICE(CALLBACK "ListTopicSubscriptions"), ret_answer);
}

err_t
app_grpc_bindings(struct task *t, struct app_channel *channel, struct slice *ret_answer)
{
    return ask_list(t, channel, SLICE(CALLBACK "ListInputBindings"), ret_answer);
}

/* --- events ------------------------------------------------------------------------------------*/

static err_t
send_event(struct task *t, struct app_channel *channel, struct slice path, struct slice event,
           const struct http_header *metadata, size_t metadata_count,
           struct grpc_answer *ret_answer)
{
    struct http_header *all = ARENA_ARRAY(task_arena(t), struct http_header, metadata_count + 1);
    size_t count = put_token(app_settings(channel->app), all);
    for (size_t i = 0; i < metadata_count; i++)
        all[count++] = metadata[i];
    return ask(t, channel, path, event, all, count, ret_answer);
}

err_t
app_grpc_topic_event(struct task *t, struct app_channel *channel, struct slice event,
                     const struct http_header *metadata, size_t metadata_count,
                     struct grpc_answer *ret_answer)
{
    return send_event(t, channel, SLICE(CALLBACK "OnTopicEvent"), event, metadata, metadata_count,
                      ret_answer);
}

err_t
app_grpc_binding_event(struct task *t, struct app_channel *channel, struct slice event,
                       const struct http_header *metadata, size_t metadata_count,
                       struct grpc_answer *ret_answer)
{
    return send_event(t, channel, SLICE(CALLBACK "OnBindingEvent"), event, metadata, metadata_count,
                      ret_answer);
}

/* The name that today's SDKs serve comes first. */
err_t
app_grpc_bulk_event(struct task *t, struct app_channel *channel, struct slice events,
                    const struct http_header *metadata, size_t metadata_count,
                    struct grpc_answer *ret_answer)
{
    err_t err = send_event(t, channel, BULK_ALPHA, events, metadata, metadata_count,
                           ret_answer); /* suspends */
    if (err != OK || ret_answer->code != GRPC_UNIMPLEMENTED)
        return err;
    return send_event(t, channel, SLICE(CALLBACK "OnBulkTopicEvent"), events, metadata,
                      metadata_count, ret_answer);
}

/* --- OnInvoke ----------------------------------------------------------------------------------*/

/* InvokeRequest { method = 1, Any data = 2 { type_url = 1, value = 2 }, content_type = 3,
 * HTTPExtension http_extension = 4 { verb = 1, querystring = 2 } } */
static struct slice
pack_request(struct arena *arena, const struct app_invocation *in)
{
    uint64_t verb = verb_number(in->verb);
    size_t any = wire_bytes_len(1, in->type_url) + wire_bytes_len(2, in->data);
    size_t extension = wire_number_len(1, verb) + wire_bytes_len(2, in->query);
    char *from = arena_alloc(arena, in->method.len + any + in->content_type.len + extension +
                                        INVOKE_FRAME_BYTES);
    char *at = wire_put_bytes(from, 1, in->method);
    at = wire_put_head(at, 2, any); /* there even if it is empty: applications look into it */
    at = wire_put_bytes(at, 1, in->type_url);
    at = wire_put_bytes(at, 2, in->data);
    at = wire_put_bytes(at, 3, in->content_type);
    if (extension > 0) {
        at = wire_put_head(at, 4, extension);
        at = wire_put_number(at, 1, verb);
        at = wire_put_bytes(at, 2, in->query);
    }
    return slice_of(from, (size_t)(at - from));
}

static bool
unpack_any(struct slice bytes, struct app_invoked *invoked)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1 && f.type == WIRE_BYTES)
            invoked->type_url = f.bytes;
        else if (f.field == 2 && f.type == WIRE_BYTES)
            invoked->data = f.bytes;
    }
    return !r.is_bad;
}

/* InvokeResponse { Any data = 1, content_type = 2 } */
static bool
unpack_answer(struct slice bytes, struct app_invoked *invoked)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (f.field == 1 && f.type == WIRE_BYTES && !unpack_any(f.bytes, invoked))
            return false;
        if (f.field == 2 && f.type == WIRE_BYTES)
            invoked->content_type = f.bytes;
    }
    return !r.is_bad;
}

err_t
app_grpc_invoke(struct task *t, struct app_channel *channel,
                const struct app_invocation *invocation, struct app_invoked *ret_invoked)
{
    *ret_invoked = (struct app_invoked){ .content_type = SLICE_EMPTY,
                                         .type_url = SLICE_EMPTY,
                                         .data = SLICE_EMPTY };
    err_t err = ask(t, channel, SLICE(CALLBACK "OnInvoke"), pack_request(task_arena(t), invocation),
                    invocation->metadata, invocation->metadata_count, &ret_invoked->answer);
    struct grpc_answer *answer = &ret_invoked->answer;
    if (err == OK && answer->code == GRPC_OK && !unpack_answer(answer->message, ret_invoked)) {
        answer->code = GRPC_INTERNAL;
        answer->text = SLICE("grpc: failed to unmarshal the received message");
        answer->is_peers = false;
        err = DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, SLICE_FMT, SLICE_ARG(answer->text));
    }
    return err;
}
