/* SPDX-License-Identifier: Apache-2.0 */
/* See jwks_fetch.h. */
#include "sentry/jwks_fetch.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/url.h"
#include "http/client.h"
#include "http/tls.h"
#include "sentry/jwks.h"
#include "sentry/service.h"

#define SCOPE "dapr.sentry.identity.jwks"

enum { RETRY_MS = 1000 };

static err_t
read_set(struct task *t, struct client_call *call, struct jwks **ret_set)
{
    struct buf body;
    struct slice chunk;
    buf_init(&body, LIMIT_sentry_file_bytes);
    err_t err = client_head(t, call); /* suspends */
    if (err == OK && call->status != 200)
        err = DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "it answers %d %s", call->status,
                        http_status_text(call->status));
    while (err == OK && (err = client_read(t, call, &chunk)) == OK && chunk.len > 0)
        if (!buf_append(&body, chunk))
            err = DIAG_FAIL(task_diag(t), ERR_TOO_LARGE, "the answer is too large");
    if (err == OK)
        err = jwks_parse(buf_slice(&body), ret_set, task_diag(t));
    buf_fini(&body);
    return err;
}

static err_t
ask(struct task *t, struct client *client, const struct url *url, struct jwks **ret_set)
{
    const struct http_header accept = { SLICE("Accept"), SLICE("application/json") };
    struct client_call call = { .transport = NULL };
    struct slice path = url->path.len == 0 ? SLICE("/") : url->path;
    const struct client_head head = {
        .method = SLICE("GET"),
        .target = arena_printf(task_arena(t), SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(path),
                               url->query.len > 0 ? "?" : "", SLICE_ARG(url->query)),
        .authority = url->authority,
        .headers = &accept,
        .header_count = 1,
    };
    err_t err = client_start(t, client, &head, &call); /* suspends */
    if (err == OK)
        err = client_end(t, &call);
    if (err == OK)
        err = read_set(t, &call, ret_set); /* suspends */
    client_finish(&call);
    return err;
}

/* Over a connection of its own: it is seldom. */
static err_t
fetch_once(struct task *t, const struct jwks_source *source, struct jwks **ret_set)
{
    struct url url;
    struct slice words;
    struct tls_context *tls = NULL;
    if (!url_parse(task_arena(t), source->text, &url, &words))
        return DIAG_FAIL(task_diag(t), ERR_CONFIG, SLICE_FMT, SLICE_ARG(words));
    if (url.is_https)
        tls = tls_context_new(&(struct tls_config){ .verifies = true,
                                                    .ca = source->ca,
                                                    .server_name = url.host,
                                                    .alpn = SLICE("http/1.1") });
    struct client *client = client_new(
        task_worker(t), &(struct client_config){ .host = url.host, .port = url.port, .tls = tls });
    tls_context_unref(tls);
    uint64_t outer = task_deadline_push(t, source->timeout_ms);
    err_t err = ask(t, client, &url, ret_set); /* suspends */
    task_deadline_pop(t, outer);
    client_close(client);
    return err;
}

static void
run(struct task *t, void *arg)
{
    struct jwks_fetch *fetch = arg;
    err_t err = OK;
    while (!task_is_cancelled(t)) {
        struct service_parts parts = { 0 };
        err = fetch_once(t, fetch->source, &parts.jwks); /* suspends */
        if (err == OK)
            service_take(fetch->service, &parts);
        else if (err != ERR_CANCELLED)
            log_error(SCOPE, "Failed to fetch JWKS: " SLICE_FMT, SLICE_ARG(task_diag(t)->message));
        arena_reset(task_arena(t));
        diag_init(task_diag(t), task_arena(t)); /* its words were there */
        if (task_sleep(t, err == OK ? fetch->source->refresh_ms : RETRY_MS) != OK) /* suspends */
            break;
    }
    fetch->task = NULL;
}

void
jwks_fetch_start(struct jwks_fetch *fetch, struct worker *worker)
{
    fetch->task = task_spawn(worker, "jwks", run, fetch);
}

void
jwks_fetch_stop(struct jwks_fetch *fetch)
{
    if (fetch->task != NULL)
        task_cancel(fetch->task);
}
