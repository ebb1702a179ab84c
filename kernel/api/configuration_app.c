/* SPDX-License-Identifier: Apache-2.0 */
/* Changes on their way to the application; see configuration_app.h. */
#include "api/configuration_app.h"

#include <stdlib.h>

#include "api/configuration_watch.h"
#include "api/trace.h"
#include "app/app_http.h"
#include "app/grpc_app.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "resiliency/run.h"

#define SCOPE "dapr.runtime.configuration"

enum { BODY_BYTES_MAX = 32 * 1024 * 1024, LOGGED_BYTES_MAX = 1024 };

struct telling {
    struct request rq;
    const struct configuration_watch *watch;
    const struct configuration_change *change;
    struct slice path; /* encoded */
    struct slice body;
    bool is_refused;
};

/* --- the body ----------------------------------------------------------------------------------*/

static bool
put_member(struct buf *out, bool *is_first, const char *name, struct slice value)
{
    bool ok = buf_printf(out, "%s\"%s\":", *is_first ? "" : ",", name) &&
              json_write_string(out, value, true);
    *is_first = false;
    return ok;
}

bool
configuration_put_json(struct buf *out, const struct configuration_item *item)
{
    bool is_first = true, ok = buf_append_byte(out, '{');
    if (item->value.len > 0)
        ok = ok && put_member(out, &is_first, "value", item->value);
    if (item->version.len > 0)
        ok = ok && put_member(out, &is_first, "version", item->version);
    if (item->metadata_count > 0)
        ok = ok && buf_printf(out, "%s\"metadata\":{", is_first ? "" : ",");
    for (size_t i = 0; i < item->metadata_count; i++)
        ok = ok && (i == 0 || buf_append_byte(out, ',')) &&
             json_write_string(out, item->metadata[i].name, true) && buf_append_byte(out, ':') &&
             json_write_string(out, item->metadata[i].value, true);
    if (item->metadata_count > 0)
        ok = ok && buf_append_byte(out, '}');
    return ok && buf_append_byte(out, '}');
}

/* `{"id":"…","items":{"key":{…}}}` */
static bool
make_body(struct telling *telling)
{
    struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    bool ok = buf_printf(&out, "{\"id\":\"" SLICE_FMT "\",\"items\":{",
                         SLICE_ARG(configuration_watch_id(telling->watch))) &&
              json_write_string(&out, telling->change->item.key, true) &&
              buf_append_byte(&out, ':') && configuration_put_json(&out, &telling->change->item) &&
              buf_append(&out, SLICE("}}\n"));
    if (ok)
        telling->body = arena_dup(telling->rq.arena, buf_slice(&out));
    buf_fini(&out);
    return ok;
}

/* Any byte may be in a key; slashes stay, as the reference leaves them. */
static struct slice
path_of(struct arena *arena, struct slice store, struct slice key)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~!$&'()*+,;=:@/";
    struct slice whole = arena_printf(arena, "/configuration/" SLICE_FMT "/" SLICE_FMT,
                                      SLICE_ARG(store), SLICE_ARG(key));
    char *text = arena_alloc(arena, whole.len * 3), *at = text;
    for (size_t i = 0; i < whole.len; i++) {
        unsigned char c = (unsigned char)whole.data[i];
        if (c != '\0' && strchr(plain, c) != NULL) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    return slice_of(text, (size_t)(at - text));
}

/* --- one attempt -------------------------------------------------------------------------------*/

static err_t
ask_http(struct telling *telling, struct app_channel *channel, int *ret_status)
{
    struct http_header headers[1 + TRACE_HEADERS_MAX] = { { SLICE("Content-Type"),
                                                            SLICE("application/json") } };
    size_t count = 1;
    if (telling->rq.traceparent.len > 0)
        count += trace_http_headers(&telling->rq, headers + 1);
    struct slice answer;
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = telling->path,
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = (int64_t)telling->body.len };
    return app_http_ask(telling->rq.task, channel, &head, telling->body,
                        LIMIT_configuration_answer_bytes, ret_status, &answer); /* suspends */
}

/* As an invocation of the method that has the path's name. */
static err_t
ask_grpc(struct telling *telling, struct app_channel *channel, int *ret_status)
{
    struct request *rq = &telling->rq;
    struct http_header metadata[APP_GRPC_METADATA_MAX];
    const struct app_invocation invocation = {
        .method = slice_from(telling->path, 1),
        .verb = SLICE("POST"),
        .query = SLICE_EMPTY,
        .content_type = SLICE("application/json"),
        .type_url = SLICE_EMPTY,
        .data = telling->body,
        .metadata = metadata,
        .metadata_count = app_grpc_metadata(app_settings(channel->app), rq->kernel->app_id,
                                            rq->kernel->namespace_, metadata),
    };
    struct app_invoked invoked;
    err_t err = app_enter(rq->task, channel); /* suspends */
    if (err != OK)
        return err;
    err = app_grpc_invoke(rq->task, channel, &invocation, &invoked); /* suspends */
    app_leave(channel);
    *ret_status = grpc_code_to_http(invoked.answer.code);
    return err;
}

static err_t
try_once(struct task *t, void *arg, struct attempt *attempt)
{
    struct telling *telling = arg;
    struct app_channel *channel = &kernel_worker_of(t)->app;
    int status = 0;
    telling->is_refused = false;
    err_t err = app_is_grpc(app_settings(channel->app)->protocol)
                    ? ask_grpc(telling, channel, &status)
                    : ask_http(telling, channel, &status); /* suspends */
    if (err != OK)
        return err;
    attempt->answer = ANSWER_HTTP;
    attempt->code = status;
    telling->is_refused = status >= 400 && status < 500 && status != 408 && status != 429;
    if (status >= 200 && status < 300)
        return OK;
    return DIAG_FAIL(task_diag(t), ERR_PEER_FAILED, "the application answered with status %d",
                     status);
}

/* --- telling -----------------------------------------------------------------------------------*/

/* True: the application has it, or does not want it. */
static bool
tell(struct task *t, const struct configuration_watch *watch,
     const struct configuration_change *change)
{
    struct telling telling = { .watch = watch, .change = change };
    struct resiliency_target target;
    request_init(&telling.rq, t);
    struct slice store = configuration_watch_store(watch);
    telling.path = path_of(telling.rq.arena, store, change->item.key);
    if (!make_body(&telling))
        return true; /* cannot be: what a plugin sends is smaller */
    resiliency_for_component(settings_of(t)->resiliency, store, "Configuration", RESILIENCY_INBOUND,
                             &target);
    const struct run run = { .target = &target,
                             .is_replayable = true,
                             .default_ms = LIMIT_call_default_ms,
                             .is_ending = &telling.rq.kernel->is_ending };
    err_t err = resiliency_run(t, &run, try_once, &telling); /* suspends */
    if (err != OK)
        log_error(SCOPE,
                  "error sending configuration item " SLICE_FMT " of store " SLICE_FMT
                  " to the application: " SLICE_FMT "%s",
                  SLICE_ARG(slice_first(change->item.key, LOGGED_BYTES_MAX)), SLICE_ARG(store),
                  SLICE_ARG(task_diag(t)->message), telling.is_refused ? "" : "; it is told again");
    return err == OK || telling.is_refused;
}

/* False: some are left, which are taken again. */
static bool
tell_all(struct task *t, struct configuration_watch *watch, struct list *changes)
{
    bool ok = true;
    for (struct list *at = changes->next, *next; at != changes; at = next) {
        struct configuration_change *change = container_of(at, struct configuration_change, link);
        next = at->next;
        list_init(&change->link);
        arena_reset(task_arena(t)); /* a subscription may last */
        ok = ok && !configuration_watch_is_over(watch) && tell(t, watch, change); /* suspends */
        if (ok)
            free(change);
        else
            configuration_watch_put_back(watch, change);
    }
    list_init(changes);
    return ok;
}

static void
teller_main(struct task *t, void *arg)
{
    struct configuration_watch *watch = arg;
    uint64_t pause_ms = LIMIT_configuration_retry_ms;
    struct list changes;
    list_init(&changes);
    while (configuration_watch_next(t, watch, &changes) == OK) { /* suspends */
        if (tell_all(t, watch, &changes)) {                      /* suspends */
            pause_ms = LIMIT_configuration_retry_ms;
            continue;
        }
        if (!configuration_watch_pause(t, watch, pause_ms)) /* suspends */
            break;
        pause_ms = pause_ms * 2 < LIMIT_configuration_retry_max_ms
                       ? pause_ms * 2
                       : LIMIT_configuration_retry_max_ms;
    }
    configuration_watch_close(watch);
}

err_t
configuration_app_subscribe(struct request *rq, struct component *store,
                            const struct configuration_query *query, struct slice *ret_id)
{
    struct configuration_watch *watch;
    const struct app *app = kernel_worker_of(rq->task)->app.app;
    if (app == NULL || app_settings(app)->port == 0)
        return fail(rq, ERR_APP_CHANNEL_NIL,
                    "app channel is not initialized. cannot subscribe to configuration updates");
    err_t err = configuration_watch_open(rq, store, query, &watch); /* suspends */
    if (err != OK)
        return err;
    *ret_id = arena_dup(rq->arena, configuration_watch_id(watch));
    if (task_spawn(task_worker(rq->task), "configuration teller", teller_main, watch) != NULL)
        return OK;
    configuration_watch_close(watch);
    return fail(rq, ERR_CONFIGURATION_OVERLOADED, "too many requests at a time");
}
