/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of an application over HTTP; see app_http.h. */
#include "app/app_http.h"

#include "app/app_filter.h"
#include "app/app_internal.h"
#include "async/worker.h"
#include "base/clock.h"
#include "telemetry/http_client_metrics.h"
#include "telemetry/metrics.h"

struct client_head
app_head_with_token(struct arena *arena, const struct app_settings *settings,
                    const struct client_head *head)
{
    struct client_head with = *head;
    struct http_header *headers = arena_alloc(arena, sizeof *headers * (head->header_count + 1));
    size_t count = 0;
    for (size_t i = 0; i < head->header_count; i++)
        if (!slice_eq_nocase(head->headers[i].name, SLICE("dapr-api-token")))
            headers[count++] = head->headers[i];
    if (settings->api_token.len > 0)
        headers[count++] = (struct http_header){ SLICE("dapr-api-token"), settings->api_token };
    with.headers = headers;
    with.header_count = count;
    return with;
}

err_t
app_http_start(struct task *t, struct app_channel *channel, const struct client_head *head,
               struct app_http_call *ret_http)
{
    struct arena *arena = task_arena(t);
    ptrdiff_t mark = slice_find_byte(head->target, '?');
    *ret_http = (struct app_http_call){
        .method = arena_dup(arena, head->method),
        .path = arena_dup(arena, mark < 0 ? head->target : slice_first(head->target, (size_t)mark)),
        .started_ns = metrics_is_on() ? clock_now_ns() : 0,
    };
    err_t err = app_enter(t, channel); /* suspends */
    if (err != OK)
        return err;
    ret_http->channel = channel;
    if (channel->filter != NULL && channel->filter->is_there(t)) {
        err = app_filter_start(t, channel, head, &ret_http->call); /* suspends */
    } else {
        const struct client_head with = app_head_with_token(arena, app_settings(channel->app),
                                                            head);
        err = client_start(t, app_client(channel), &with, &ret_http->call); /* suspends */
    }
    if (err != OK)
        app_http_finish(ret_http);
    return err;
}

static void
count(const struct app_http_call *http)
{
    const struct path_rules *rules = app_settings(http->channel->app)->path_rules();
    const struct http_client_sample sample = {
        .method = http->method,
        .path = http->path,
        .status = http->call.status,
        .took_ns = clock_now_ns() - http->started_ns,
        .sent_bytes = http->sent_bytes,
        .received_bytes = http->received_bytes,
    };
    http_client_count(rules, http->call.arena, &sample);
}

void
app_http_finish(struct app_http_call *http)
{
    struct app_channel *channel = http->channel;
    if (channel == NULL)
        return;
    if (http->started_ns != 0)
        count(http);
    client_finish(&http->call);
    http->channel = NULL;
    app_leave(channel);
}

/* The whole body, in the arena. */
static err_t
read_all(struct task *t, struct app_http_call *http, size_t bytes_max, struct slice *ret_body)
{
    struct arena *arena = task_arena(t);
    struct arena_bytes body = { 0 };
    struct slice chunk;
    err_t err;
    while ((err = client_read(t, &http->call, &chunk)) == OK && chunk.len > 0) {
        if (chunk.len > bytes_max - body.len)
            return DIAG_FAIL(task_diag(t), ERR_TOO_LARGE, "the answer is too large");
        arena_append(arena, &body, chunk);
        http->received_bytes += chunk.len;
    }
    if (err == OK)
        *ret_body = arena_bytes_slice(&body);
    return err;
}

err_t
app_http_ask(struct task *t, struct app_channel *channel, const struct client_head *head,
             struct slice body, size_t bytes_max, int *ret_status, struct slice *ret_body)
{
    struct app_http_call http;
    err_t err = app_http_start(t, channel, head, &http); /* suspends */
    if (err == OK && body.len > 0) {
        http.sent_bytes = body.len;
        err = client_write(t, &http.call, body);
    }
    if (err == OK)
        err = client_end(t, &http.call);
    if (err == OK || (err == ERR_PEER_LOST && http.channel != NULL)) /* it may have answered */
        err = client_head(t, &http.call);
    if (err == OK)
        err = read_all(t, &http, bytes_max, ret_body);
    if (err == OK)
        *ret_status = http.call.status;
    app_http_finish(&http);
    return err;
}
