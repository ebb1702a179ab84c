/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that change where no file tells of it: stores whose plugin has the network are asked
 * again, now and then, for what components have taken from them, and a component whose secrets are
 * others than those it was made with is exchanged. What is kept for that is a digest, keyed so that
 * it tells nothing of a weak secret to who finds it.
 *
 * The main thread decides, a task of the store's worker asks. A look that comes back when the host
 * is going is forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "component/host_internal.h"
#include "config/duration.h"

#define SCOPE "dapr.runtime.processor.secret"
#define INTERVAL SLICE("secretRefreshInterval")

/* Outlives the host while looks are under way. Main thread. */
struct rotation {
    unsigned refs;
    struct host *host;       /* NULL once it stops */
    struct mailbox *control; /* which any thread may post to */
    ev_timer timer;
};

struct look {
    struct rotation *rotation; /* counted */
    struct worker *worker;
    struct secret_refs *refs;
    size_t place; /* in host->members */
    struct member *member;
    uint32_t generation; /* that the look is about */
    struct secret_digest digest;
    err_t err;
    struct mail mail; /* to the worker, and back */
};

static void
rotation_unref(struct rotation *rotation)
{
    if (--rotation->refs == 0)
        free(rotation);
}

/* --- worker ------------------------------------------------------------------------------------*/

static void on_looked(struct mail *mail);

static void
look_main(struct task *t, void *arg)
{
    struct look *look = arg;
    uint64_t outer = task_deadline_push(t, LIMIT_call_default_ms);
    look->err = secret_refs_look(t, look->refs, &look->digest); /* suspends */
    task_deadline_pop(t, outer);
    mailbox_post(look->rotation->control, &look->mail, on_looked);
}

static void
on_look(struct mail *mail)
{
    struct look *look = container_of(mail, struct look, mail);
    if (task_spawn(look->worker, "secrets look", look_main, look) != NULL)
        return;
    look->err = ERR_OVERLOADED;
    mailbox_post(look->rotation->control, &look->mail, on_looked);
}

/* --- main thread -------------------------------------------------------------------------------*/

/* What was looked for may have been made anew meanwhile, which is as good. */
static void
judge(struct host *host, const struct look *look)
{
    struct member *member = look->place < host->member_count ? host->members[look->place] : NULL;
    if (member == NULL || member != look->member || member->generation != look->generation ||
        member->is_leaving)
        return;
    member->is_looked_at = false;
    if (look->err != OK) {
        log_debug(SCOPE, "Component " SLICE_FMT ": its secrets could not be looked at",
                  SLICE_ARG(member->spec->name));
        return;
    }
    if (memcmp(&look->digest, &member->secrets, sizeof look->digest) == 0 || member->is_stale)
        return;
    log_info(SCOPE, "Component " SLICE_FMT ": the secrets of store " SLICE_FMT " have changed",
             SLICE_ARG(member->spec->name), SLICE_ARG(member->spec->auth_secret_store));
    member_renew(member);
}

static void
on_looked(struct mail *mail)
{
    struct look *look = container_of(mail, struct look, mail);
    struct host *host = look->rotation->host;
    if (host != NULL)
        judge(host, look);
    secret_refs_free(look->refs);
    rotation_unref(look->rotation);
    free(look);
}

static void
start_look(struct host *host, size_t place, const struct member *store)
{
    struct member *member = host->members[place];
    struct look *look = calloc(1, sizeof *look);
    if (look == NULL)
        abort();
    *look = (struct look){ .rotation = host->rotation,
                           .worker = store->ward->worker,
                           .refs = secret_refs_new(&host->routes, member->spec,
                                                   member->kind == COMPONENT_STATE),
                           .place = place,
                           .member = member,
                           .generation = member->generation };
    host->rotation->refs++;
    member->is_looked_at = true;
    worker_post(look->worker, &look->mail, on_look);
}

/* 0: never. */
static uint64_t
interval_ms(const struct member *store)
{
    char error[DURATION_ERROR_BYTES];
    int64_t ns = 0;
    const struct component_value *value = component_value(store->spec, INTERVAL);
    if (value == NULL || !duration_parse(value->value, &ns, error))
        return LIMIT_secret_look_ms;
    if (ns <= 0)
        return 0;
    return ns < DURATION_S_NS ? 1000 : (uint64_t)(ns / DURATION_MS_NS);
}

static bool
is_due(struct member *store, uint64_t now_ms)
{
    uint64_t every_ms = interval_ms(store);
    if (every_ms == 0 || store->standing != STANDING_READY ||
        !plugin_manifest(store->ward->plugin)->has_network)
        return false;
    if (store->looked_ms != 0 && now_ms - store->looked_ms < every_ms)
        return false;
    bool is_first = store->looked_ms == 0; /* all has just been asked for */
    store->looked_ms = now_ms;
    return !is_first;
}

static bool
is_to_be_looked_at(const struct member *member, const struct member *store)
{
    return member != NULL && member->spec->has_secrets && !member->is_leaving &&
           !member->is_stale && !member->is_looked_at && member->standing == STANDING_READY &&
           member->exchange == NULL && member->next_spec == NULL &&
           slice_eq(member->spec->auth_secret_store, store->spec->name);
}

static void
on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct host *host = ((struct rotation *)timer->data)->host;
    uint64_t now_ms = clock_now_ms();
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *store = host->members[i];
        if (store == NULL || store->kind != COMPONENT_SECRETS || store->ward == NULL ||
            !is_due(store, now_ms))
            continue;
        if (host->config.on_secrets != NULL)
            host->config.on_secrets(host->config.arg, store->spec->name, true);
        for (size_t place = 0; place < host->member_count; place++)
            if (is_to_be_looked_at(host->members[place], store))
                start_look(host, place, store);
    }
}

void
rotation_start(struct host *host)
{
    struct rotation *rotation = calloc(1, sizeof *rotation);
    if (rotation == NULL)
        abort();
    rotation->refs = 1;
    rotation->host = host;
    rotation->control = host->config.control;
    host->rotation = rotation;
    ev_timer_init(&rotation->timer, on_tick, 1., 1.);
    rotation->timer.data = rotation;
    ev_timer_start(host->config.loop, &rotation->timer);
}

void
rotation_stop(struct host *host)
{
    struct rotation *rotation = TAKE(host->rotation);
    if (rotation == NULL)
        return;
    ev_timer_stop(host->config.loop, &rotation->timer);
    rotation->host = NULL;
    rotation_unref(rotation);
}
