/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc.health.v1.Health: the sidecar serves once it is ready and until it begins to end, and so do
 * all its services. Written by hand: each message has one field.
 */
#include "base/limits.h"
#include "base/wire.h"
#include "surface/grpc_surface.h"

/* HealthCheckResponse.ServingStatus */
enum status { STATUS_SERVING = 1, STATUS_NOT_SERVING = 2, STATUS_SERVICE_UNKNOWN = 3 };

enum { ANSWER_BYTES = WIRE_NUMBER_MAX };

static bool
is_ending(const struct rpc *rpc)
{
    return atomic_load_explicit(&rpc->rq.kernel->is_ending, memory_order_relaxed);
}

static enum status
status_now(const struct rpc *rpc)
{
    return atomic_load_explicit(&rpc->rq.kernel->is_ready, memory_order_relaxed) && !is_ending(rpc)
               ? STATUS_SERVING
               : STATUS_NOT_SERVING;
}

/* HealthCheckRequest { service = 1 }. False: the call has been ended. */
static bool
read_service(struct rpc *rpc, struct slice *ret_service)
{
    struct slice bytes;
    struct wire_field f;
    if (!rpc_read_one(rpc, &bytes)) /* suspends */
        return false;
    *ret_service = SLICE_EMPTY;
    struct wire_reader r = wire_reader(bytes);
    while (wire_next(&r, &f))
        if (f.field == 1)
            *ret_service = wire_bytes(&r, &f);
    if (r.is_bad)
        rpc_end(rpc, GRPC_INTERNAL, RPC_MALFORMED);
    return !r.is_bad;
}

static bool
is_known(struct slice service)
{
    if (service.len == 0)
        return true;
    for (const char *const *name = grpc_service_names; *name != NULL; name++)
        if (slice_eq(service, slice_str(*name)))
            return true;
    return false;
}

/* HealthCheckResponse { status = 1 } */
static struct slice
pack_status(enum status status, char text[ANSWER_BYTES])
{
    return slice_of(text, (size_t)(wire_put_number(text, 1, status) - text));
}

static void
check(struct rpc *rpc)
{
    struct slice service;
    char text[ANSWER_BYTES];
    if (!read_service(rpc, &service))
        return;
    if (!is_known(service))
        rpc_end(rpc, GRPC_NOT_FOUND, SLICE("unknown service"));
    else if (grpc_send(&rpc->call, pack_status(status_now(rpc), text)) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

/* HealthListResponse { statuses = 1 { key = 1, value = 2 } } */
static void
list(struct rpc *rpc)
{
    enum { ENTRY_BYTES = 96 }; /* names of services and what is around them */
    struct slice bytes;
    char status_text[ANSWER_BYTES];
    if (!rpc_read_one(rpc, &bytes)) /* suspends */
        return;
    struct slice status = pack_status(status_now(rpc), status_text);
    size_t count = 0;
    while (grpc_service_names[count] != NULL)
        count++;
    char *from = arena_alloc(rpc->rq.arena, (count + 1) * ENTRY_BYTES), *at = from;
    for (size_t i = 0; i <= count; i++) {
        struct slice name = i == count ? SLICE_EMPTY : slice_str(grpc_service_names[i]);
        at = wire_put_head(at, 1, wire_bytes_len(1, name) + wire_bytes_len(2, status));
        at = wire_put_bytes(at, 1, name);
        at = wire_put_bytes(at, 2, status);
    }
    if (grpc_send(&rpc->call, slice_of(from, (size_t)(at - from))) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

/* Looks now and then rather than being told: few watch, and seldom does anything change. */
static void
watch(struct rpc *rpc)
{
    struct slice service;
    char text[ANSWER_BYTES];
    unsigned last = 0;
    if (!read_service(rpc, &service))
        return;
    bool has_service = is_known(service);
    rpc->call.x->is_passed_on = true;
    for (;;) {
        enum status status = has_service ? status_now(rpc) : STATUS_SERVICE_UNKNOWN;
        if (status != last && grpc_send(&rpc->call, pack_status(status, text)) != OK)
            return;
        last = status;
        if (is_ending(rpc)) {
            rpc_end(rpc, GRPC_UNAVAILABLE, SLICE("the server is shutting down"));
            return;
        }
        err_t err = task_sleep(rpc->rq.task, LIMIT_grpc_health_look_ms); /* suspends */
        if (err != OK) {
            rpc_end(rpc, err == ERR_DEADLINE ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED,
                    SLICE("the watch has ended"));
            return;
        }
    }
}

void
grpc_health(struct rpc *rpc)
{
    if (slice_eq(rpc->call.method, SLICE("Check")))
        check(rpc);
    else if (slice_eq(rpc->call.method, SLICE("Watch")))
        watch(rpc);
    else if (slice_eq(rpc->call.method, SLICE("List")))
        list(rpc);
    else
        grpc_proxy(rpc);
}
