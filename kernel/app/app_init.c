/* SPDX-License-Identifier: Apache-2.0 */
/* What an application is asked at the start; see app_init.h. */
#include "app/app_init.h"

#include <stdlib.h>

#include "app/app_http.h"
#include "app/app_internal.h"
#include "app/grpc_app.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

#define SCOPE "dapr.runtime"
#define SUBSCRIPTION_SCOPE "dapr.runtime.processor.subscription"

struct slice
app_config(const struct app *app)
{
    return slice_of(app->config, app->config_len);
}

struct slice
app_subscriptions(const struct app *app)
{
    return slice_of(app->subscriptions, app->subscriptions_len);
}

static char *
keep(struct slice text, size_t *ret_len)
{
    *ret_len = text.len;
    return slice_copy(text);
}

/* The status and body of a GET. False: there was no answer, and *ret_why says why. */
static bool
get(struct task *t, struct app_channel *channel, struct slice path, int *ret_status,
    struct slice *ret_body, struct slice *ret_why)
{
    const struct http_header headers[] = {
        { SLICE("Content-Type"), SLICE("application/json") },
        { SLICE("Dapr-App-Id"), app_settings(channel->app)->app_id },
    };
    const struct client_head head = { .method = SLICE("GET"),
                                      .target = path,
                                      .headers = headers,
                                      .header_count = ARRAY_LEN(headers) };
    uint64_t outer = task_deadline_push(t, LIMIT_app_init_ms);
    err_t err = app_http_ask(t, channel, &head, SLICE_EMPTY, LIMIT_app_config_bytes_max, ret_status,
                             ret_body); /* suspends */
    task_deadline_pop(t, outer);
    if (err == OK)
        return true;
    *ret_why = err == ERR_DEADLINE ? SLICE("context deadline exceeded") : task_diag(t)->message;
    return false;
}

/* --- configuration -----------------------------------------------------------------------------*/

void
app_ask_config(struct task *t, struct app_channel *channel)
{
    struct app *app = channel->app;
    struct slice body = SLICE_EMPTY, why;
    int status = 0;
    if (!app_is_grpc(app->settings.protocol)) { /* gRPC has no such question */
        if (!get(t, channel, SLICE("/dapr/config"), &status, &body, &why)) {
            log_warn(SCOPE,
                     "failed to load the application's configuration, going on without: " SLICE_FMT,
                     SLICE_ARG(why));
            return;
        }
        if (status == 200 && !json_is_valid(body)) {
            log_warn(SCOPE, "the application's configuration is no JSON, going on without it");
            return;
        }
    }
    if (status == 200)
        app->config = keep(body, &app->config_len);
    log_info(SCOPE, "Application configuration loaded");
}

/* --- subscriptions -----------------------------------------------------------------------------*/

/* How many elements the array has; false: it is none. */
static bool
count_elements(struct slice text, size_t *ret_count)
{
    struct json json;
    struct slice raw;
    json_init(&json, text);
    if (json_peek(&json) == JSON_NULL)
        return json_skip(&json, &raw) && json_end(&json);
    if (json_peek(&json) != JSON_ARRAY)
        return false;
    json_enter(&json);
    while (json_array_next(&json) && json_skip(&json, &raw))
        ++*ret_count;
    return !json.failed && json_end(&json);
}

static void
take_subscriptions(struct app *app, struct slice body, size_t count)
{
    app->subscriptions = keep(body, &app->subscriptions_len);
    if (count > 0)
        log_info(SUBSCRIPTION_SCOPE, "app is subscribed to %zu topics", count);
}

static void
ask_http(struct task *t, struct app_channel *channel)
{
    struct slice body, why;
    size_t count = 0;
    int status;
    if (!get(t, channel, SLICE("/dapr/subscribe"), &status, &body, &why))
        log_error(SUBSCRIPTION_SCOPE, "error getting topic list from app: " SLICE_FMT,
                  SLICE_ARG(why));
    else if (status == 404)
        log_debug(SUBSCRIPTION_SCOPE, "app returned http status code 404 from subscription "
                                      "endpoint");
    else if (status != 200)
        log_error(SUBSCRIPTION_SCOPE, "app returned http status code %d from subscription endpoint",
                  status);
    else if (!count_elements(body, &count))
        log_error(SUBSCRIPTION_SCOPE, "error getting topics from app: the answer is no JSON array");
    else
        take_subscriptions(channel->app, body, count);
}

static void
ask_grpc(struct task *t, struct app_channel *channel)
{
    struct slice answer;
    uint64_t outer = task_deadline_push(t, LIMIT_app_init_ms);
    err_t err = app_grpc_subscriptions(t, channel, &answer); /* suspends */
    task_deadline_pop(t, outer);
    if (err != OK)
        log_error(SUBSCRIPTION_SCOPE, "error getting topic list from app: " SLICE_FMT,
                  SLICE_ARG(task_diag(t)->message));
    else
        take_subscriptions(channel->app, answer, answer.len > 0);
}

void
app_ask_subscriptions(struct task *t, struct app_channel *channel)
{
    if (app_is_grpc(channel->app->settings.protocol))
        ask_grpc(t, channel);
    else
        ask_http(t, channel);
}
