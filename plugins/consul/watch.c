/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A watch that fails forgets what it knew, so that questions go to the agent again, and tries anew
 * at growing intervals.
 */
#include "watch.h"

#include <ev.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

struct watch {
    struct watch *next;
    struct watches *watches;
    char *service;                 /* owned */
    struct agent_request *request; /* NULL: waiting to try again */
    struct instances *instances;   /* owned; NULL: not known */
    uint64_t index;
    ev_tstamp used_at;
    long retry_ms;
    ev_timer retry;
};

struct watches {
    const struct settings *settings;
    struct watch *first;
    size_t count;
};

char *
health_path(const struct settings *settings, struct remora_slice service, bool is_watch,
            uint64_t index)
{
    char *name = agent_escape(service.data, service.len);
    char *path = is_watch
                     ? memory_printf("/v1/health/service/%s?passing=1%s&index=%" PRIu64
                                     "&wait=%lds",
                                     name, settings->watch_query, index, settings->watch_wait_s)
                     : memory_printf("/v1/health/service/%s?passing=1%s", name, settings->query);
    free(name);
    return path;
}

static void
drop(struct watch *watch)
{
    struct watch **link = &watch->watches->first;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    watch->watches->count--;
    agent_cancel(watch->request);
    ev_timer_stop(remora_loop(), &watch->retry);
    free(watch->instances);
    free(watch->service);
    free(watch);
}

static void on_answer(const struct agent_answer *answer, void *arg);

static void
ask(struct watch *watch)
{
    const struct settings *settings = watch->watches->settings;
    struct remora_slice service = { watch->service, strlen(watch->service) };
    char *path = health_path(settings, service, true, watch->index);
    watch->request = agent_ask(
        &settings->agent,
        &(struct agent_question){ .method = "GET",
                                  .path = path,
                                  .token = settings->query_token,
                                  /* The agent adds up to a sixteenth to the wait. */
                                  .timeout_ms = settings->watch_wait_s * 1000 * 9 / 8 +
                                                REQUEST_TIMEOUT_MS },
        on_answer, watch);
    free(path);
}

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    ask(timer->data);
}

static void
fail(struct watch *watch, const char *why)
{
    if (watch->retry_ms == 0)
        remora_log(REMORA_WARN, "consul is asked directly, its news about services fail: %s", why);
    free(watch->instances);
    watch->instances = NULL;
    watch->index = 0;
    watch->retry_ms = watch->retry_ms == 0 ? WATCH_RETRY_MIN_MS : 2 * watch->retry_ms;
    if (watch->retry_ms > WATCH_RETRY_MAX_MS)
        watch->retry_ms = WATCH_RETRY_MAX_MS;
    ev_timer_set(&watch->retry, (double)watch->retry_ms / 1000, 0);
    ev_timer_start(remora_loop(), &watch->retry);
}

static void
on_answer(const struct agent_answer *answer, void *arg)
{
    struct watch *watch = arg;
    watch->request = NULL;
    if (ev_now(remora_loop()) - watch->used_at > (double)WATCH_IDLE_MS / 1000) {
        drop(watch);
        return;
    }
    struct instances *instances = answer->is_ok ? instances_read(answer->body, answer->len,
                                                                 watch->watches->settings->port_key)
                                                : NULL;
    if (instances == NULL) {
        fail(watch, answer->error != NULL ? answer->error : "an answer that cannot be read");
        return;
    }
    free(watch->instances);
    watch->instances = instances;
    watch->retry_ms = 0;
    /* An index that goes back means that the agent began anew; without one it would answer at once
     * for ever. */
    bool is_new = answer->index > watch->index;
    bool must_pause = answer->index == 0;
    watch->index = is_new || answer->index == watch->index ? answer->index : 0;
    if (must_pause) {
        ev_timer_set(&watch->retry, (double)WATCH_RETRY_MIN_MS / 1000, 0);
        ev_timer_start(remora_loop(), &watch->retry);
    } else {
        ask(watch);
    }
}

/* --- the set -----------------------------------------------------------------------------------*/

struct watches *
watches_new(const struct settings *settings)
{
    struct watches *watches = memory_new(sizeof *watches);
    watches->settings = settings;
    return watches;
}

void
watches_free(struct watches *watches)
{
    if (watches == NULL)
        return;
    for (struct watch *watch = watches->first, *next; watch != NULL; watch = next) {
        next = watch->next;
        drop(watch);
    }
    free(watches);
}

/* Room for one more: who was not asked for the longest goes. */
static void
make_room(struct watches *watches)
{
    struct watch *oldest = watches->first;
    if (watches->count < WATCHES_MAX)
        return;
    for (struct watch *watch = watches->first; watch != NULL; watch = watch->next)
        if (watch->used_at < oldest->used_at)
            oldest = watch;
    if (oldest != NULL)
        drop(oldest);
}

static void
begin(struct watches *watches, struct remora_slice service)
{
    make_room(watches);
    struct watch *watch = memory_new(sizeof *watch);
    watch->watches = watches;
    watch->service = memory_printf("%.*s", (int)service.len, service.data);
    watch->used_at = ev_now(remora_loop());
    ev_timer_init(&watch->retry, on_retry, 0, 0);
    watch->retry.data = watch;
    watch->next = watches->first;
    watches->first = watch;
    watches->count++;
    ask(watch);
}

const struct instances *
watches_find(struct watches *watches, struct remora_slice service)
{
    for (struct watch *watch = watches->first; watch != NULL; watch = watch->next) {
        if (remora_slice_eq(service, watch->service)) {
            watch->used_at = ev_now(remora_loop());
            return watch->instances;
        }
    }
    begin(watches, service);
    return NULL;
}
