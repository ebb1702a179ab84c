/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to a plugin, whichever worker holds the link; see bus.h. */
#include "bus/bus.h"

#include "async/remote.h"
#include "async/worker.h"
#include "telemetry/metrics.h"

struct start {
    struct link *link;
    const struct link_args *args;
    struct bus_call *call;
};

static err_t
start_there(struct task *t, void *arg)
{
    struct start *start = arg;
    return link_call(t, start->link, start->args, &start->call->call);
}

static err_t
call_wherever(struct task *t, struct link *link, const struct link_args *args,
              struct bus_call *ret_call)
{
    *ret_call = (struct bus_call){ .link = link_ref(link) };
    if (link->worker == task_worker(t))
        return link_call(t, link, args, &ret_call->call);
    struct link_args there = *args;
    there.arena = task_arena(t);
    struct start start = { .link = link, .args = &there, .call = ret_call };
    return remote_run(t, link->worker, "bus call", start_there, &start); /* suspends */
}

err_t
bus_call(struct task *t, struct link *link, const struct link_args *args, struct bus_call *ret_call)
{
    uint64_t started_ns = task_worker(t)->now_ns;
    err_t err = call_wherever(t, link, args, ret_call); /* suspends */
    if (err == OK && args->method > LIFECYCLE_METHOD_MAX)
        metrics_record(metrics_single(METRICS_plugin_call), task_worker(t)->now_ns - started_ns);
    return err;
}

struct more {
    struct bus_call *call;
    struct slice *ret_chunk;
};

static err_t
body_there(struct task *t, void *arg)
{
    struct more *more = arg;
    return link_call_body(t, &more->call->call, more->ret_chunk);
}

err_t
bus_call_body(struct task *t, struct bus_call *call, struct slice *ret_chunk)
{
    if (call->link->worker == task_worker(t))
        return link_call_body(t, &call->call, ret_chunk);
    struct more more = { .call = call, .ret_chunk = ret_chunk };
    return remote_run(t, call->link->worker, "bus body", body_there, &more); /* suspends */
}

err_t
bus_call_body_all(struct task *t, struct bus_call *call, size_t bytes_max, struct slice *ret_body)
{
    struct arena *arena = task_arena(t);
    int64_t expected = link_call_body_bytes(&call->call);
    if (expected > 0 && (uint64_t)expected > bytes_max)
        return ERR_TOO_LARGE;
    struct slice whole = SLICE_EMPTY, chunk;
    size_t capacity = 0;
    for (;;) {
        err_t err = bus_call_body(t, call, &chunk);
        if (err != OK)
            return err;
        if (chunk.len == 0)
            break;
        if ((int64_t)(whole.len + chunk.len) == expected && whole.len == 0 &&
            call->call.body_given == 0) {
            *ret_body = chunk; /* all of it came with the answer, and is in the arena already */
            return OK;
        }
        if (whole.len + chunk.len > bytes_max)
            return ERR_TOO_LARGE;
        if (whole.data == NULL || whole.len + chunk.len > capacity) {
            size_t wanted = expected > 0 ? (size_t)expected : (whole.len + chunk.len) * 2;
            if (wanted < whole.len + chunk.len)
                wanted = whole.len + chunk.len;
            whole.data = arena_grow(arena, (char *)(uintptr_t)whole.data, whole.len, wanted);
            capacity = wanted;
        }
        memcpy((char *)(uintptr_t)whole.data + whole.len, chunk.data, chunk.len);
        whole.len += chunk.len;
    }
    *ret_body = whole;
    return OK;
}

static err_t
finish_there(struct task *t, void *arg)
{
    (void)t;
    link_call_finish(arg);
    return OK;
}

void
bus_call_finish(struct task *t, struct bus_call *call)
{
    struct link *link = TAKE(call->link);
    if (link == NULL)
        return;
    if (link->worker == task_worker(t)) {
        link_call_finish(&call->call);
    } else {
        /* Must happen, or the call's memory would be used after this. */
        task_shield_begin(t);
        uint64_t deadline_ms = task_deadline_ms(t);
        task_deadline_pop(t, UINT64_MAX);
        while (remote_run(t, link->worker, "bus finish", finish_there, &call->call) != OK)
            task_yield(t); /* no task over there: some end soon */
        task_deadline_pop(t, deadline_ms);
        task_shield_end(t);
    }
    link_unref(link);
}
