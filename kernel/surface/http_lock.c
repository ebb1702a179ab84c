/* SPDX-License-Identifier: Apache-2.0 */
/* The lock API over HTTP. */
#include <stddef.h>

#include "api/lock.h"
#include "surface/body_proto.h"
#include "surface/http_surface.h"

static const struct body_proto_field fields[] = {
    { "resourceId", "resource_id", BODY_PROTO_STRING, offsetof(struct lock_request, resource) },
    { "lockOwner", "lock_owner", BODY_PROTO_STRING, offsetof(struct lock_request, owner) },
    { "expiryInSeconds", "expiry_in_seconds", BODY_PROTO_INT32,
      offsetof(struct lock_request, expiry_seconds) },
};

static err_t
parse_lock(struct request *rq, struct slice body, void *ret)
{
    return body_proto_read(rq, body, fields, ARRAY_LEN(fields), ret);
}

/* Which is the whole message, so that a lease in it is none of this one's. */
static err_t
parse_unlock(struct request *rq, struct slice body, void *ret)
{
    return body_proto_read(rq, body, fields, 2, ret);
}

static bool
read_request(struct http_call *call, http_parse_fn *parse, struct lock_request *ret_lock)
{
    *ret_lock = (struct lock_request){ .resource = SLICE_EMPTY, .owner = SLICE_EMPTY };
    if (!http_parse(call, parse, ret_lock)) /* suspends */
        return false;
    ret_lock->store = call->params[0];
    return true;
}

void
http_lock_try(struct http_call *call)
{
    struct lock_request lock;
    bool is_held = false;
    if (!read_request(call, parse_lock, &lock))
        return;
    if (lock_try(&call->rq, &lock, &is_held) == OK) /* suspends */
        http_json(call, 200, is_held ? SLICE("{\"success\":true}") : SLICE("{\"success\":false}"));
    else
        http_fail(call);
}

void
http_lock_release(struct http_call *call)
{
    struct lock_request lock;
    enum lock_status status = LOCK_UNLOCKED;
    if (!read_request(call, parse_unlock, &lock))
        return;
    if (lock_release(&call->rq, &lock, &status) == OK) /* suspends */
        http_json(call, 200, arena_printf(call->rq.arena, "{\"status\":%d}", (int)status));
    else
        http_fail(call);
}
