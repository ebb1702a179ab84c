/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks; see lock.h. A lock whose outcome is unknown is an error here and may be held there: it is
 * nobody's until its lease ends, which is safe. So nothing is undone.
 */
#include "api/lock.h"

#include "api/operation.h"
#include "base/limits.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define TRY_FAILED SLICE("failed to try acquiring lock: ")
#define RELEASE_FAILED SLICE("failed to release lock: ")
#define MALFORMED SLICE("the plugin's answer is malformed")

static err_t
fail_operation(struct request *rq, err_t err, struct slice words, struct slice reason)
{
    return fail(rq, err, SLICE_FMT SLICE_FMT, SLICE_ARG(words), SLICE_ARG(reason));
}

/* --- what is asked for -------------------------------------------------------------------------*/

static err_t
fail_field(struct request *rq, const struct lock_request *lock, const char *words)
{
    return fail(rq, ERR_MALFORMED_REQUEST, "%s in lock store " SLICE_FMT, words,
                SLICE_ARG(lock->store));
}

static err_t
check_name(struct request *rq, const char *name, struct slice text)
{
    if (slice_find_byte(text, '\0') >= 0)
        return fail(rq, ERR_MALFORMED_REQUEST, "%s must not hold the NUL character", name);
    if (text.len > LIMIT_lock_name_bytes_max)
        return fail(rq, ERR_MALFORMED_REQUEST, "%s is longer than %d bytes", name,
                    LIMIT_lock_name_bytes_max);
    return OK;
}

/* In the order in which the reference looks at them: the store last. */
static err_t
check(struct request *rq, const struct lock_request *lock, bool has_expiry)
{
    if (lock->resource.len == 0)
        return fail_field(rq, lock, "ResourceId is empty");
    if (lock->owner.len == 0)
        return fail_field(rq, lock, "LockOwner is empty");
    if (has_expiry && lock->expiry_seconds <= 0)
        return fail_field(rq, lock, "ExpiryInSeconds is not positive");
    err_t err = check_name(rq, "ResourceId", lock->resource);
    return err == OK ? check_name(rq, "LockOwner", lock->owner) : err;
}

static err_t
find(struct request *rq, const struct lock_request *lock, bool has_expiry,
     struct component **ret_store)
{
    *ret_store = operation_component(rq, COMPONENT_LOCK, lock->store); /* suspends */
    if (*ret_store == NULL && rq->components->kind_count[COMPONENT_LOCK] == 0)
        return fail(rq, ERR_LOCK_STORE_NOT_CONFIGURED, "lock store is not configured");
    err_t err = check(rq, lock, has_expiry);
    if (err == OK && *ret_store == NULL)
        err = fail(rq, ERR_LOCK_STORE_NOT_FOUND, "lock store " SLICE_FMT " not found",
                   SLICE_ARG(lock->store));
    return err;
}

/* The resource as stores know it: "lock||app||resource". */
static err_t
modified_resource(struct request *rq, const struct component *store, struct slice resource,
                  err_t illegal, struct slice words, char **ret_resource)
{
    struct slice prefix = store->facts->key_prefix;
    if (slice_find(resource, SLICE("||")) >= 0) {
        struct slice reason = arena_printf(rq->arena,
                                           "input key/keyPrefix '" SLICE_FMT "' can't contain '||'",
                                           SLICE_ARG(resource));
        return fail_operation(rq, illegal, words, reason);
    }
    *ret_resource = pb_string(rq->arena, arena_printf(rq->arena, "lock||" SLICE_FMT SLICE_FMT,
                                                      SLICE_ARG(prefix), SLICE_ARG(resource)));
    return OK;
}

/* --- the call ----------------------------------------------------------------------------------*/

/* `failed` names what the plugin or the way to it refused; the status is the cause's where that is
 * the kernel's. */
static err_t
run(struct request *rq, struct component *store, uint32_t method, const ProtobufCMessage *message,
    struct component_call *ret_call, err_t failed, struct slice words)
{
    const struct operation operation = { .method = method,
                                         .is_write = true,
                                         .message = pb_pack(rq->arena, message) };
    err_t err = operation_run(rq, store, &operation, ret_call); /* suspends */
    if (!operation_has_failed(err, ret_call))
        return OK;
    (void)fail_operation(rq, failed, words, operation_reason(rq, err, ret_call));
    if (err != OK) {
        rq->error.http = err_info(err)->http;
        rq->error.grpc = err_info(err)->grpc;
    }
    return failed;
}

err_t
lock_try(struct request *rq, const struct lock_request *lock, bool *ret_is_held)
{
    Remora__Plugin__V1__LockTry out = REMORA__PLUGIN__V1__LOCK_TRY__INIT;
    struct component *store;
    struct component_call call = { 0 };
    err_t err = find(rq, lock, true, &store);
    if (err == OK)
        err = modified_resource(rq, store, lock->resource, ERR_TRY_LOCK, TRY_FAILED, &out.resource);
    if (err != OK)
        return err;
    out.owner = pb_string(rq->arena, lock->owner);
    out.expiry_seconds = (uint32_t)lock->expiry_seconds;
    err = run(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_LOCK_TRY, &out.base, &call,
              ERR_TRY_LOCK, TRY_FAILED);
    if (err == OK) {
        const Remora__Plugin__V1__LockTryReply *reply = operation_unpack(
            rq, &remora__plugin__v1__lock_try_reply__descriptor, 0, &call);
        if (reply != NULL)
            *ret_is_held = reply->success;
        else
            err = fail_operation(rq, ERR_TRY_LOCK, TRY_FAILED, MALFORMED);
    }
    component_call_finish(rq->task, &call);
    return err;
}

static bool
status_of(const Remora__Plugin__V1__LockUnlockReply *reply, enum lock_status *ret_status)
{
    static const enum lock_status statuses[] = {
        [REMORA__PLUGIN__V1__LOCK_STATUS__LOCK_STATUS_UNLOCKED] = LOCK_UNLOCKED,
        [REMORA__PLUGIN__V1__LOCK_STATUS__LOCK_STATUS_DOES_NOT_EXIST] = LOCK_DOES_NOT_EXIST,
        [REMORA__PLUGIN__V1__LOCK_STATUS__LOCK_STATUS_BELONGS_TO_OTHERS] = LOCK_BELONGS_TO_OTHERS,
    };
    if (reply == NULL ||
        reply->status == REMORA__PLUGIN__V1__LOCK_STATUS__LOCK_STATUS_UNSPECIFIED ||
        (size_t)reply->status >= ARRAY_LEN(statuses))
        return false;
    *ret_status = statuses[reply->status];
    return true;
}

err_t
lock_release(struct request *rq, const struct lock_request *lock, enum lock_status *ret_status)
{
    Remora__Plugin__V1__LockUnlock out = REMORA__PLUGIN__V1__LOCK_UNLOCK__INIT;
    struct component *store;
    struct component_call call = { 0 };
    err_t err = find(rq, lock, false, &store);
    if (err == OK)
        err = modified_resource(rq, store, lock->resource, ERR_UNLOCK, RELEASE_FAILED,
                                &out.resource);
    if (err != OK)
        return err;
    out.owner = pb_string(rq->arena, lock->owner);
    err = run(rq, store, REMORA__PLUGIN__V1__METHOD__METHOD_LOCK_UNLOCK, &out.base, &call,
              ERR_UNLOCK, RELEASE_FAILED);
    if (err == OK &&
        !status_of(
            operation_unpack(rq, &remora__plugin__v1__lock_unlock_reply__descriptor, 0, &call),
            ret_status))
        err = fail_operation(rq, ERR_UNLOCK, RELEASE_FAILED, MALFORMED);
    component_call_finish(rq->task, &call);
    return err;
}
