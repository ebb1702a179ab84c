/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC surface behind an exchange that is not there: any method with any body, in any pieces,
 * compressed or not; and the body of every request of the public API through what unpacks them,
 * whether the method is served yet or not. What is understood must come out again as it was, within
 * its budget of memory.
 */
#include <assert.h>
#include <stdlib.h>

#include "api/settings.h"
#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "peer/peers.h"
#include "surface/grpc_surface.h"

#include "dapr/proto/runtime/v1/dapr.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input of every method of the Dapr service. */
#define D(name) &dapr__proto__runtime__v1__##name##__descriptor
static const ProtobufCMessageDescriptor *const requests[] = {
    D(invoke_service_request),
    D(get_state_request),
    D(get_bulk_state_request),
    D(save_state_request),
    D(query_state_request),
    D(delete_state_request),
    D(delete_bulk_state_request),
    D(execute_state_transaction_request),
    D(publish_event_request),
    D(bulk_publish_request),
    D(subscribe_topic_events_request_alpha1),
    D(invoke_binding_request),
    D(get_secret_request),
    D(get_bulk_secret_request),
    D(register_actor_timer_request),
    D(unregister_actor_timer_request),
    D(register_actor_reminder_request),
    D(unregister_actor_reminder_request),
    D(unregister_actor_reminders_by_type_request),
    D(list_actor_reminders_request),
    D(list_actor_timers_request),
    D(get_actor_state_request),
    D(get_actor_reminder_request),
    D(get_actor_timer_request),
    D(execute_actor_state_transaction_request),
    D(invoke_actor_request),
    D(subscribe_actor_events_request_alpha1),
    D(get_configuration_request),
    D(subscribe_configuration_request),
    D(unsubscribe_configuration_request),
    D(try_lock_request),
    D(unlock_request),
    D(encrypt_request),
    D(decrypt_request),
    D(get_metadata_request),
    D(set_metadata_request),
    D(subtle_get_key_request),
    D(subtle_encrypt_request),
    D(subtle_decrypt_request),
    D(subtle_wrap_key_request),
    D(subtle_unwrap_key_request),
    D(subtle_sign_request),
    D(subtle_verify_request),
    D(start_workflow_request),
    D(get_workflow_request),
    D(purge_workflow_request),
    D(terminate_workflow_request),
    D(pause_workflow_request),
    D(resume_workflow_request),
    D(raise_event_workflow_request),
    D(shutdown_request),
    D(schedule_job_request),
    D(get_job_request),
    D(delete_job_request),
    D(delete_jobs_by_prefix_request_alpha1),
    D(delete_jobs_by_prefix_request),
    D(list_jobs_request_alpha1),
    D(list_jobs_request),
    D(conversation_request),
    D(conversation_request_alpha2),
    D(create_index_request_alpha1),
    D(get_index_request_alpha1),
    D(list_indexes_request_alpha1),
    D(delete_index_request_alpha1),
    D(index_documents_request_alpha1),
    D(get_documents_request_alpha1),
    D(delete_documents_request_alpha1),
    D(search_request_alpha1),
    D(create_collection_request_alpha1),
    D(get_collection_request_alpha1),
    D(list_collections_request_alpha1),
    D(delete_collection_request_alpha1),
    D(upsert_vectors_request_alpha1),
    D(delete_vectors_request_alpha1),
    D(get_vectors_request_alpha1),
    D(query_vectors_request_alpha1),
    D(batch_query_vectors_request_alpha1),
    D(set_binary_file_request_alpha1),
    D(get_binary_file_request_alpha1),
    D(delete_binary_file_request_alpha1)
};
#undef D

static const char *const methods[] = {
#define GRPC_METHOD(rpc, handler) "/dapr.proto.runtime.v1.Dapr/" #rpc,
#include "api/methods.def"
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.health.v1.Health/List",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/own.Service/Method",
    "nothing",
};

enum { BODY_MAX = 64 * 1024, TURNS_MAX = 64 };

static struct kernel_worker kernel_worker;
static struct app *app; /* there is none behind it */
static struct kernel kernel = { .body_bytes_max = BODY_MAX };

static struct {
    const char *at;
    const char *end;
    size_t piece;
    size_t answered;
    bool is_over;
} body;

/* --- an exchange that is not there -------------------------------------------------------------*/

static err_t
read_body(struct http_exchange *x, struct slice *ret_chunk)
{
    (void)x;
    size_t left = (size_t)(body.end - body.at), len = left < body.piece ? left : body.piece;
    *ret_chunk = slice_of(body.at, len);
    body.at += len;
    return OK;
}

static err_t
reply_start(struct http_exchange *x, int status, const struct http_header *headers, size_t count,
            int64_t length)
{
    assert(!x->reply_started && status >= 200 && length <= 0);
    for (size_t i = 0; i < count; i++)
        assert(headers[i].name.len > 0 && slice_find_byte(headers[i].value, '\n') < 0);
    x->reply_started = true;
    return OK;
}

static err_t
reply_write(struct http_exchange *x, struct slice bytes)
{
    assert(x->reply_started && !x->reply_ended);
    body.answered += bytes.len;
    return OK;
}

static err_t
reply_end_with(struct http_exchange *x, const struct http_header *trailers, size_t count)
{
    assert(x->reply_started && !x->reply_ended);
    for (size_t i = 0; i < count; i++)
        assert(trailers[i].name.len > 0 && slice_find_byte(trailers[i].value, '\n') < 0);
    x->reply_ended = true;
    return OK;
}

static err_t
reply_end(struct http_exchange *x)
{
    return reply_end_with(x, NULL, 0);
}

static const struct http_transport transport = {
    .body_read = read_body,
    .reply_start = reply_start,
    .reply_write = reply_write,
    .reply_end = reply_end,
    .reply_end_with = reply_end_with,
};

static void
call_main(struct task *t, void *arg)
{
    struct http_exchange *x = arg;
    x->task = t;
    grpc_api_handle(x);
    assert(x->reply_started);
    body.is_over = true;
}

static void
call_method(unsigned method, unsigned flags)
{
    const struct http_header headers[] = { { SLICE("content-type"), SLICE("application/grpc") },
                                           { SLICE("grpc-timeout"), SLICE("1S") },
                                           { SLICE("grpc-encoding"), SLICE("gzip") } };
    struct http_exchange x = { .transport = &transport,
                               .server_arg = &kernel,
                               .method = SLICE("POST"),
                               .path = slice_str(methods[method % ARRAY_LEN(methods)]),
                               .version_major = 2,
                               .headers = headers,
                               .header_count = flags & 1 ? 3 : 2 };
    x.target = x.path;
    struct task *t = task_spawn(&kernel_worker.worker, "call", call_main, &x);
    assert(t != NULL);
    for (int i = 0; i < TURNS_MAX && !body.is_over; i++) {
        worker_turn(&kernel_worker.worker, 1);
        clock_advance_ms(100);
    }
    assert(body.is_over && kernel_worker.worker.tasks.count == 0);
}

/* --- bodies ------------------------------------------------------------------------------------*/

static void
unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes)
{
    enum { ARENA_SLACK = 64 * 1024 }; /* chunks are not filled to the last byte */
    struct arena arena;
    struct slice words = SLICE_EMPTY;
    arena_init(&arena);
    const ProtobufCMessage *message = grpc_unpack(&arena, descriptor, bytes, &words);
    assert(arena.total_bytes <=
           LIMIT_grpc_unpack_base_bytes + LIMIT_grpc_unpack_factor * bytes.len * 2 + ARENA_SLACK);
    if (message == NULL) {
        assert(words.len > 0);
    } else {
        struct slice packed = pb_pack(&arena, message);
        /* It may be shorter, with less memory allowed for it than it needs. */
        const ProtobufCMessage *again = pb_unpack(&arena, descriptor, packed, LIMIT_grpc_depth_max,
                                                  SIZE_MAX);
        assert(again != NULL);
        struct slice repacked = pb_pack(&arena, again);
        assert(slice_eq(packed, repacked));
    }
    arena_fini(&arena);
}

/* --- start -------------------------------------------------------------------------------------*/

static void
do_shutdown(struct kernel *k, bool force)
{
    (void)force;
    assert(k == &kernel);
}

static err_t
describe(struct request *rq, struct buf *components, struct buf *details)
{
    (void)rq;
    (void)details;
    bool fits = buf_append(components, SLICE("{\"name\":\"a\",\"capabilities\":[\"ETAG\"]}"));
    assert(fits);
    return OK;
}

static void
end(void)
{
    name_cache_fini(&kernel_worker.names);
    app_channel_fini(&kernel_worker.app);
    peers_free(kernel_worker.peers);
    endpoint_desk_fini(&kernel_worker.outside);
    worker_fini(&kernel_worker.worker);
    app_free(app);
}

static void
set_up(void)
{
    static bool is_set_up;
    if (is_set_up)
        return;
    log_threshold = LOG_FATAL + 1;
    err_t err = worker_init(&kernel_worker.worker, 0);
    assert(err == OK);
    kernel_worker.kernel = &kernel;
    kernel_worker.worker.user = &kernel_worker;
    kernel_worker.settings = settings_new();
    component_table_init(&kernel_worker.components);
    name_cache_init(&kernel_worker.names);
    kernel_worker.peers = peers_new(&kernel_worker.worker, &(struct peers_config){ 0 });
    endpoint_desk_init(&kernel_worker.outside, &kernel_worker);
    app = app_new(&(struct app_settings){ .app_id = SLICE("a") });
    app_channel_init(&kernel_worker.app, app, &kernel_worker.worker);
    kernel.shutdown = do_shutdown;
    kernel.describe = describe;
    map_init(&kernel.extended);
    int failed = pthread_mutex_init(&kernel.extended_lock, NULL);
    failed |= atexit(end);
    assert(failed == 0);
    is_set_up = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD_BYTES = 3 };
    set_up();
    /* No URL is called from here: what that takes is others' to explore. */
    if (size < HEAD_BYTES || slice_find(slice_of(data, size), SLICE("://")) >= 0)
        return 0;
    clock_fake(UINT64_C(1000000000000), INT64_C(1795625229000));
    const char *rest = (const char *)data + HEAD_BYTES;
    if (data[1] & 2) {
        unpack(requests[data[0] % ARRAY_LEN(requests)], slice_of(rest, size - HEAD_BYTES));
        return 0;
    }
    body.at = rest;
    body.end = (const char *)data + size;
    body.piece = (size_t)data[2] * 16 + 1;
    body.is_over = false;
    call_method(data[0], data[1]);
    return 0;
}
