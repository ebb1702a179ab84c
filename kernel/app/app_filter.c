/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of the application that middleware stands before. It looks like any other client_call:
 * what the middleware needs to see first is held back, and the call of the application itself is
 * made when that has passed, or never, if the middleware has answered.
 */
#include "app/app_filter.h"

#include "app/app_internal.h"

struct filtered {
    struct app_channel *channel;
    struct app_passage passage;
    struct client_call inner; /* of the application, once it is made */
    bool is_held;             /* the request has not passed yet */
    bool has_ended;           /* its body is complete */
    err_t err;                /* its body is too large */
    struct arena_bytes body;
    struct wait *waiting; /* for the end of the body */
};

static bool
is_answered(const struct filtered *f)
{
    return f->passage.status != 0;
}

/* What the caller writes from now on goes nowhere: the application gets nothing, or another body.
 */
static bool
is_deaf(const struct filtered *f)
{
    return is_answered(f) || f->passage.has_body;
}

/* --- the request -------------------------------------------------------------------------------*/

static void
wake(struct filtered *f)
{
    if (f->waiting != NULL)
        wait_done(TAKE(f->waiting), OK);
}

static err_t
too_large(struct task *t)
{
    return DIAG_FAIL(task_diag(t), ERR_TOO_LARGE,
                     "the body is too large for the middleware before the application");
}

static err_t
hold(struct task *t, struct filtered *f, struct client_call *call, struct slice bytes)
{
    size_t bytes_max = app_settings(f->channel->app)->body_bytes_max;
    if (bytes.len > bytes_max - f->body.len) {
        f->err = ERR_TOO_LARGE;
        wake(f);
        return too_large(t);
    }
    arena_append(call->arena, &f->body, bytes);
    return OK;
}

static err_t
write_body(struct task *t, struct client_call *call, struct slice bytes)
{
    struct filtered *f = call->state;
    if (f->is_held)
        return hold(t, f, call, bytes);
    return is_deaf(f) ? OK : client_write(t, &f->inner, bytes);
}

static err_t
end_body(struct task *t, struct client_call *call)
{
    struct filtered *f = call->state;
    f->has_ended = true;
    wake(f);
    return f->is_held || is_deaf(f) ? OK : client_end(t, &f->inner);
}

static err_t
await_body(struct task *t, struct filtered *f)
{
    err_t err = OK;
    if (!f->has_ended && f->err == OK) {
        struct wait wait;
        wait_init(&wait, t, NULL);
        f->waiting = &wait;
        err = TASK_WAIT(t, &wait);
        f->waiting = NULL;
    }
    return err == OK && f->err != OK ? too_large(t) : err;
}

/* With the body, if it is known: from the caller, or from the middleware. */
static err_t
call_app(struct task *t, struct filtered *f)
{
    struct app_passage *passage = &f->passage;
    if (passage->has_body)
        passage->head.body_length = (int64_t)passage->body.len;
    const struct client_head head = app_head_with_token(
        task_arena(t), app_settings(f->channel->app), &passage->head);
    err_t err = client_start(t, app_client(f->channel), &head, &f->inner); /* suspends */
    if (err != OK || !passage->has_body)
        return err;
    err = client_write(t, &f->inner, passage->body);
    if (err == OK)
        err = client_end(t, &f->inner);
    return err == ERR_PEER_LOST ? OK : err; /* it may have answered */
}

/* The body is complete: now the middleware, and what comes behind it. */
static err_t
let_pass(struct task *t, struct filtered *f)
{
    err_t err = await_body(t, f);
    if (err != OK)
        return err;
    f->passage.has_body = true;
    f->passage.body = arena_bytes_slice(&f->body);
    err = f->channel->filter->pass(t, &f->passage); /* suspends */
    f->is_held = false;
    return err != OK || is_answered(f) ? err : call_app(t, f);
}

/* --- the answer --------------------------------------------------------------------------------*/

static void
take_headers(struct filtered *f, struct client_call *call, const struct http_header *headers,
             size_t count)
{
    struct http_header *all = ARENA_ARRAY(call->arena, struct http_header,
                                          count + f->passage.header_count);
    for (size_t i = 0; i < count; i++)
        all[i] = headers[i];
    for (size_t i = 0; i < f->passage.header_count; i++)
        all[count + i] = f->passage.headers[i];
    call->headers = all;
    call->header_count = count + f->passage.header_count;
}

static err_t
await_head(struct task *t, struct client_call *call)
{
    struct filtered *f = call->state;
    err_t err = f->is_held ? let_pass(t, f) : OK; /* suspends */
    if (err == OK && is_answered(f)) {
        call->status = f->passage.status;
        call->content_length = (int64_t)f->passage.body.len;
        take_headers(f, call, NULL, 0);
        return OK;
    }
    if (err == OK)
        err = client_head(t, &f->inner); /* suspends */
    call->was_sent = f->inner.was_sent;
    call->was_reset = f->inner.was_reset;
    call->reset_code = f->inner.reset_code;
    if (err != OK)
        return err;
    call->status = f->inner.status;
    call->content_length = f->inner.content_length;
    take_headers(f, call, f->inner.headers, f->inner.header_count);
    return OK;
}

static err_t
read_body(struct task *t, struct client_call *call, struct slice *ret_chunk)
{
    struct filtered *f = call->state;
    if (is_answered(f)) {
        *ret_chunk = f->passage.body;
        f->passage.body = SLICE_EMPTY;
        return OK;
    }
    err_t err = client_read(t, &f->inner, ret_chunk); /* suspends */
    call->trailers = f->inner.trailers;
    call->trailer_count = f->inner.trailer_count;
    return err;
}

static void
finish(struct client_call *call)
{
    struct filtered *f = call->state;
    client_finish(&f->inner);
}

static const struct client_transport filtered_transport = {
    .write = write_body,
    .end = end_body,
    .head = await_head,
    .read = read_body,
    .finish = finish,
};

/* --- the call ----------------------------------------------------------------------------------*/

/* A head that outlives the caller's. */
static struct client_head
keep_head(struct arena *arena, const struct client_head *head)
{
    struct client_head kept = *head;
    struct http_header *headers = ARENA_ARRAY(arena, struct http_header, head->header_count);
    for (size_t i = 0; i < head->header_count; i++)
        headers[i] = (struct http_header){ arena_dup(arena, head->headers[i].name),
                                           arena_dup(arena, head->headers[i].value) };
    kept.method = arena_dup(arena, head->method);
    kept.target = arena_dup(arena, head->target);
    kept.authority = arena_dup(arena, head->authority);
    kept.headers = headers;
    return kept;
}

err_t
app_filter_start(struct task *t, struct app_channel *channel, const struct client_head *head,
                 struct client_call *ret_call)
{
    const struct app_filter *filter = channel->filter;
    struct filtered *f = ARENA_NEW(task_arena(t), struct filtered);
    *f = (struct filtered){ .channel = channel,
                            .is_held = filter->reads_body(t),
                            .passage = { .head = keep_head(task_arena(t), head),
                                         .body = SLICE_EMPTY } };
    *ret_call = (struct client_call){ .arena = task_arena(t) };
    err_t err = OK;
    if (!f->is_held)
        err = filter->pass(t, &f->passage); /* suspends */
    if (err == OK && !f->is_held && !is_answered(f)) {
        err = call_app(t, f); /* suspends */
        ret_call->was_sent = f->inner.was_sent;
    }
    if (err != OK) {
        client_finish(&f->inner);
        return err;
    }
    ret_call->transport = &filtered_transport;
    ret_call->state = f;
    return OK;
}
