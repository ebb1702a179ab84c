/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an invocation on its way to the callee; see invoke_route.h. */
#include "api/invoke_route.h"

#include "async/worker.h"

enum { UP_AT_ONCE_BYTES = 128 * 1024 };

/* What an earlier attempt has taken comes first, then what the client sends. */
static err_t
next_piece(struct invoke_upload *upload, struct slice *ret_piece)
{
    struct invoke_call *call = upload->call;
    if (upload->replayed < upload->kept.len) {
        *ret_piece = slice_from(arena_bytes_slice(&upload->kept), upload->replayed);
        upload->replayed = upload->kept.len;
        return OK;
    }
    if (upload->has_ended) {
        *ret_piece = SLICE_EMPTY;
        return OK;
    }
    upload->err = call->source.read(call->source.arg, ret_piece); /* suspends */
    if (upload->err != OK)
        return upload->err;
    upload->has_ended = ret_piece->len == 0;
    if (upload->keeps && ret_piece->len <= call->keep_bytes_max - upload->kept.len) {
        arena_append(upload->arena, &upload->kept, *ret_piece);
        upload->replayed = upload->kept.len;
    } else {
        upload->keeps = false;
    }
    return OK;
}

/* One piece; *ret_is_end tells that it was the last. */
static err_t
pass_piece(struct task *t, struct invoke_upload *upload, bool *ret_is_end)
{
    struct invoke_call *call = upload->call;
    struct slice piece;
    err_t err = next_piece(upload, &piece); /* suspends */
    *ret_is_end = err == OK && piece.len == 0;
    if (err != OK)
        return err;
    upload->bytes += piece.len;
    return *ret_is_end ? call->route->end(t, call)
                       : call->route->write(t, call, piece); /* suspends */
}

static void
upload_main(struct task *t, void *arg)
{
    struct invoke_upload *upload = arg;
    bool is_end = false;
    err_t err = OK;
    while (err == OK && !is_end)
        err = pass_piece(t, upload, &is_end); /* suspends */
    upload->task = NULL;
    if (upload->wait != NULL)
        wait_done(upload->wait, OK);
    else if (upload->err != OK)
        task_cancel(upload->owner); /* the answer it waits for would be one to half a request */
}

/* Made by the first attempt, begun anew by each. */
static struct invoke_upload *
upload_of(struct request *rq, struct invoke_call *call)
{
    if (call->upload == NULL) {
        call->upload = ARENA_NEW(rq->arena, struct invoke_upload);
        *call->upload = (struct invoke_upload){ .call = call,
                                                .owner = rq->task,
                                                .arena = rq->arena,
                                                .keeps = call->keep_bytes_max > 0 &&
                                                         call->body_length >= 0 };
    }
    call->upload->bytes = call->upload->replayed = 0;
    return call->upload;
}

/* A piece is to be had without waiting. */
static bool
is_here(const struct invoke_upload *upload)
{
    const struct invoke_body *source = &upload->call->source;
    return upload->replayed < upload->kept.len || upload->has_ended ||
           (source->is_here != NULL && source->is_here(source->arg));
}

bool
invoke_can_repeat(const struct invoke_call *call)
{
    const struct invoke_upload *upload = call->upload;
    return call->source.read == NULL || upload == NULL || (upload->keeps && upload->err == OK) ||
           (upload->bytes == 0 && upload->err == OK);
}

static err_t
send_source(struct request *rq, struct invoke_call *call)
{
    struct invoke_upload *upload = upload_of(rq, call);
    bool is_end = false;
    err_t err = OK;
    while (err == OK && !is_end && upload->bytes < UP_AT_ONCE_BYTES && is_here(upload))
        err = pass_piece(rq->task, upload, &is_end);
    if (err != OK || is_end)
        return err;
    upload->task = task_spawn(task_worker(rq->task), "invoke body", upload_main, upload);
    return upload->task == NULL ? ERR_OVERLOADED : OK;
}

err_t
invoke_send_body(struct request *rq, struct invoke_call *call)
{
    if (call->source.read != NULL)
        return send_source(rq, call);
    err_t err = call->body.len > 0 ? call->route->write(rq->task, call, call->body) : OK;
    return err == OK ? call->route->end(rq->task, call) : err; /* suspends */
}

void
invoke_stop_body(struct request *rq, struct invoke_call *call)
{
    struct invoke_upload *upload = call->upload;
    if (upload == NULL || upload->task == NULL)
        return;
    struct wait wait;
    wait_init(&wait, rq->task, NULL);
    upload->wait = &wait;
    task_cancel(upload->task);
    task_shield_begin(rq->task); /* it uses this task's memory; what it waits for ends at once */
    uint64_t outer = task_deadline_ms(rq->task);
    task_deadline_pop(rq->task, UINT64_MAX);
    err_t err = TASK_WAIT(rq->task, &wait);
    task_deadline_pop(rq->task, outer);
    task_shield_end(rq->task);
    upload->wait = NULL;
    (void)err; /* nothing else ends it */
}

err_t
invoke_gather_body(struct request *rq, struct invoke_call *call)
{
    size_t most = rq->kernel->body_bytes_max;
    struct arena_bytes body = { 0 };
    struct slice piece;
    err_t err = OK;
    if (call->source.read == NULL)
        return OK;
    struct invoke_upload *upload = upload_of(rq, call);
    while ((err = next_piece(upload, &piece)) == OK && piece.len > 0) {
        if (piece.len > most - body.len)
            return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_RESOURCE_EXHAUSTED,
                               SLICE("the request body is too large to be sent as one message"));
        arena_append(rq->arena, &body, piece);
    }
    if (err != OK)
        return invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_CANCELLED,
                           SLICE("the request body ended early"));
    call->body = arena_bytes_slice(&body);
    call->source.read = NULL; /* it is here as a whole from now on */
    return OK;
}
