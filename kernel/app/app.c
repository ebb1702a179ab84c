/* SPDX-License-Identifier: Apache-2.0 */
/* The application: settings, connections, places; see app.h. */
#include "app/app_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "http/tls.h"

/* --- the application ---------------------------------------------------------------------------*/

/* Certificates of applications are not verified, as documented: what is on the same machine is
 * trusted as it is without TLS. */
static struct tls_context *
trusting(struct slice alpn)
{
    return tls_context_new(&(struct tls_config){ .alpn = alpn });
}

struct app *
app_new(const struct app_settings *settings)
{
    struct app *app = calloc(1, sizeof *app);
    if (app == NULL)
        abort();
    app->settings = *settings;
    if (settings->protocol == APP_HTTPS) {
        app->tls = trusting(SLICE("http/1.1"));
        app->grpc_tls = trusting(SLICE("h2"));
    } else if (settings->protocol == APP_GRPCS) {
        app->tls = trusting(SLICE("h2"));
    }
    (void)pthread_mutex_init(&app->lock, NULL); /* cannot fail */
    list_init(&app->waiters);
    app->free = settings->concurrency_max;
    app->failures = settings->health_threshold; /* until a probe says otherwise */
    atomic_init(&app->is_unwell, settings->checks_health);
    return app;
}

void
app_free(struct app *app)
{
    if (app == NULL)
        return;
    assert(list_is_empty(&app->waiters));
    free(app->config);
    free(app->subscriptions);
    tls_context_unref(app->tls);
    tls_context_unref(app->grpc_tls);
    (void)pthread_mutex_destroy(&app->lock);
    free(app);
}

const struct app_settings *
app_settings(const struct app *app)
{
    return &app->settings;
}

/* --- channels ----------------------------------------------------------------------------------*/

void
app_channel_init(struct app_channel *channel, struct app *app, struct worker *worker)
{
    *channel = (struct app_channel){ .app = app, .worker = worker };
}

void
app_channel_fini(struct app_channel *channel)
{
    client_close(TAKE(channel->client));
    client_close(TAKE(channel->grpc_client));
}

static struct client *
make_client(struct app_channel *channel, enum client_protocol protocol, struct tls_context *tls)
{
    const struct app_settings *settings = &channel->app->settings;
    const struct client_config config = {
        .protocol = protocol,
        .host = settings->host,
        .port = settings->port,
        .tls = tls,
        .connections_max = protocol == CLIENT_H1 ? LIMIT_app_connections_max : 0,
        .head_bytes_max = settings->head_bytes_max,
    };
    return client_new(channel->worker, &config);
}

struct client *
app_client(struct app_channel *channel)
{
    if (channel->app == NULL || channel->app->settings.port == 0)
        return NULL;
    enum app_protocol protocol = channel->app->settings.protocol;
    if (channel->client == NULL)
        channel->client = make_client(
            channel, protocol == APP_HTTP || protocol == APP_HTTPS ? CLIENT_H1 : CLIENT_H2,
            channel->app->tls);
    return channel->client;
}

struct client *
app_grpc_client(struct app_channel *channel)
{
    if (channel->app == NULL || channel->app->settings.port == 0)
        return NULL;
    enum app_protocol protocol = channel->app->settings.protocol;
    if (protocol != APP_HTTP && protocol != APP_HTTPS)
        return app_client(channel);
    if (channel->grpc_client == NULL)
        channel->grpc_client = make_client(channel, CLIENT_H2, channel->app->grpc_tls);
    return channel->grpc_client;
}

/* --- places ------------------------------------------------------------------------------------*/

/* On the stack of a task of any worker. */
struct waiter {
    struct list link; /* under the lock */
    struct wait wait;
    struct app *app;
};

/* The task leaves: unless a place is on its way to it. */
static void
on_leave(struct wait *wait)
{
    struct waiter *waiter = container_of(wait, struct waiter, wait);
    struct app *app = waiter->app;
    (void)pthread_mutex_lock(&app->lock);
    bool was_waiting = list_is_linked(&waiter->link);
    if (was_waiting) {
        list_remove(&waiter->link);
        app->waiter_count--;
    }
    (void)pthread_mutex_unlock(&app->lock);
    if (was_waiting)
        wait_done(wait, ERR_CANCELLED);
}

err_t
app_enter(struct task *t, struct app_channel *channel)
{
    struct app *app = channel->app;
    if (app->settings.concurrency_max <= 0)
        return OK;
    struct waiter waiter = { .app = app };
    list_init(&waiter.link);
    wait_init(&waiter.wait, t, on_leave);
    (void)pthread_mutex_lock(&app->lock);
    bool has_place = app->free > 0 && list_is_empty(&app->waiters);
    bool may_wait = !has_place && app->waiter_count < LIMIT_app_waiters_max;
    if (has_place)
        app->free--;
    if (may_wait) {
        list_append(&app->waiters, &waiter.link);
        app->waiter_count++;
    }
    (void)pthread_mutex_unlock(&app->lock);
    if (may_wait)
        return TASK_WAIT(t, &waiter.wait);
    return has_place ? OK : ERR_OVERLOADED;
}

void
app_leave(struct app_channel *channel)
{
    struct app *app = channel->app;
    if (app->settings.concurrency_max <= 0)
        return;
    (void)pthread_mutex_lock(&app->lock);
    struct list *first = list_take_first(&app->waiters);
    if (first == NULL)
        app->free++;
    else
        app->waiter_count--;
    (void)pthread_mutex_unlock(&app->lock);
    if (first != NULL)
        wait_done(&LIST_ENTRY(first, struct waiter, link)->wait, OK);
}
