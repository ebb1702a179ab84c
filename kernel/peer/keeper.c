/* SPDX-License-Identifier: Apache-2.0 */
/* When certificates are asked for and what becomes of them; see keeper.h. */
#include "peer/keeper.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define SCOPE "dapr.runtime.security"

enum { TIME_TEXT_BYTES = 40, S_MS = 1000, RAN_OUT_GRACE_S = 1 };

static void on_timer(struct timer *timer);

void
keeper_init(struct keeper *keeper, struct worker *worker, const struct sentry_config *config,
            struct slice anchors)
{
    *keeper = (struct keeper){ .worker = worker,
                               .config = config,
                               .pause_ms = LIMIT_sentry_pause_ms,
                               .anchors = slice_of(slice_copy(anchors), anchors.len) };
    timer_init(&keeper->timer, on_timer);
}

static void
set_anchors(struct keeper *keeper, struct slice anchors)
{
    char *old = (char *)(uintptr_t)keeper->anchors.data; /* ours */
    keeper->anchors = slice_of(slice_copy(anchors), anchors.len);
    free(old);
}

void
keeper_fini(struct keeper *keeper)
{
    timer_stop(&keeper->worker->timers, &keeper->timer);
    credentials_fini(&keeper->present);
    identity_unref(TAKE(keeper->identity));
    free((void *)(uintptr_t)keeper->anchors.data); /* ours */
    keeper->anchors = SLICE_EMPTY;
}

/* --- time --------------------------------------------------------------------------------------*/

int64_t
keeper_renewal_unix_ms(int64_t not_before_unix_s, int64_t not_after_unix_s, int64_t now_unix_ms)
{
    int64_t begin_ms = not_before_unix_s * S_MS, end_ms = not_after_unix_s * S_MS;
    int64_t half_ms = begin_ms + (end_ms - begin_ms) / 2;
    if (half_ms <= now_unix_ms)
        half_ms = now_unix_ms + (end_ms - now_unix_ms) / 2;
    int64_t first_ms = now_unix_ms + LIMIT_identity_renew_ms_min;
    return half_ms > first_ms ? half_ms : first_ms;
}

/* As Go prints times. */
static const char *
time_text(int64_t unix_ms, char text[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(unix_ms / S_MS);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S +0000 UTC", &parts) == 0)
        text[0] = '\0';
    return text;
}

static void
wake_in(struct keeper *keeper, uint64_t ms)
{
    timer_set(&keeper->worker->timers, &keeper->timer, clock_now_ms() + ms);
}

static void
wait_for_renewal(struct keeper *keeper)
{
    int64_t left_ms = keeper->renew_unix_ms - clock_unix_ms();
    wake_in(keeper, left_ms > LIMIT_identity_look_ms ? LIMIT_identity_look_ms
                    : left_ms > 0                    ? (uint64_t)left_ms
                                                     : 0);
}

/* --- what Sentry says --------------------------------------------------------------------------*/

/* Whether the identity is what was asked for. One that has just run out is what an authority gives
 * that signs for less than a second: its times have no smaller parts. */
static err_t
check(const struct keeper *keeper, const struct identity *identity, struct slice chain,
      struct diag *diag)
{
    const struct sentry_config *config = keeper->config;
    int64_t now_s = clock_unix_ms() / S_MS, end_s = identity->not_after_unix_s;
    if (!slice_eq(identity->app_id, config->app_id) ||
        !slice_eq(identity->namespace_, config->namespace_))
        return DIAG_FAIL(diag, ERR_MALFORMED, "the certificate is of somebody else: " SLICE_FMT,
                         SLICE_ARG(identity->id));
    if (now_s > end_s + RAN_OUT_GRACE_S || now_s < identity->not_before_unix_s)
        return DIAG_FAIL(diag, ERR_MALFORMED, "the certificate has expired or is not yet valid");
    return identity_verify(chain, keeper->anchors, diag);
}

static void
log_success(const struct keeper *keeper, bool is_first)
{
    char end[TIME_TEXT_BYTES], renewal[TIME_TEXT_BYTES];
    if (is_first)
        log_info(SCOPE, "Security is initialized successfully");
    log_info(SCOPE, "%s workload identity%s; cert expires on: %s, renewal at: %s",
             is_first ? "Starting" : "Successfully renewed", is_first ? " expiry watcher" : "",
             time_text(keeper->identity->not_after_unix_s * S_MS, end),
             time_text(keeper->renew_unix_ms, renewal));
}

/* Takes the credentials over. */
static err_t
put_in_force(struct keeper *keeper, struct credentials *fresh, struct diag *diag)
{
    struct identity *identity;
    struct slice chain = slice_str(fresh->chain);
    err_t err = identity_new(chain, slice_str(fresh->key), keeper->anchors, diag, &identity);
    if (err != OK)
        return err;
    if ((err = check(keeper, identity, chain, diag)) != OK) {
        identity_unref(identity);
        return err;
    }
    bool is_first = keeper->identity == NULL;
    identity_unref(keeper->identity);
    credentials_fini(&keeper->present);
    keeper->identity = identity;
    keeper->present = *fresh;
    *fresh = (struct credentials){ 0 };
    keeper->renew_unix_ms = keeper_renewal_unix_ms(identity->not_before_unix_s,
                                                   identity->not_after_unix_s, clock_unix_ms());
    log_success(keeper, is_first);
    keeper->on_identity(keeper->arg, identity_ref(identity), true);
    return OK;
}

/* --- asking ------------------------------------------------------------------------------------*/

static void
fail_for_now(struct keeper *keeper, struct slice words)
{
    uint64_t pause_ms = keeper->pause_ms;
    log_error(SCOPE, "%s, trying again in %llu.%llu seconds: " SLICE_FMT,
              keeper->identity == NULL ? "Failed to retrieve the initial identity"
                                       : "Error renewing identity",
              (unsigned long long)pause_ms / S_MS, (unsigned long long)pause_ms % S_MS / 100,
              SLICE_ARG(words));
    keeper->pause_ms = pause_ms * 2 > LIMIT_sentry_pause_ms_max ? LIMIT_sentry_pause_ms_max
                                                                : pause_ms * 2;
    if (keeper->on_failure != NULL)
        keeper->on_failure(keeper->arg);
    wake_in(keeper, pause_ms);
}

static void
renew_main(struct task *t, void *arg)
{
    struct keeper *keeper = arg;
    struct credentials fresh = { 0 };
    /* Those in force may be exchanged meanwhile. */
    struct slice anchors = arena_dup(task_arena(t), keeper->anchors);
    uint64_t outer = task_deadline_push(t, LIMIT_sentry_timeout_ms);
    err_t err = sentry_sign(t, keeper->config, anchors, &fresh); /* suspends */
    task_deadline_pop(t, outer);
    keeper->task = NULL;
    if (err == OK && !keeper->is_stopping)
        err = put_in_force(keeper, &fresh, task_diag(t));
    credentials_fini(&fresh);
    if (keeper->is_stopping)
        return;
    if (err != OK) {
        fail_for_now(keeper, task_diag(t)->message);
        return;
    }
    keeper->pause_ms = LIMIT_sentry_pause_ms;
    wait_for_renewal(keeper);
}

static void
renew(struct keeper *keeper)
{
    if (keeper->task != NULL || keeper->is_stopping)
        return;
    timer_stop(&keeper->worker->timers, &keeper->timer);
    keeper->task = task_spawn(keeper->worker, "identity", renew_main, keeper);
    if (keeper->task == NULL) /* the worker is full */
        wake_in(keeper, LIMIT_sentry_pause_ms_max);
}

static void
on_timer(struct timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, timer);
    char end[TIME_TEXT_BYTES];
    bool is_due = keeper->identity == NULL || clock_unix_ms() >= keeper->renew_unix_ms;
    if (!is_due) {
        wait_for_renewal(keeper);
        return;
    }
    if (keeper->identity != NULL)
        log_info(SCOPE, "Renewing workload identity; cert expires on: %s",
                 time_text(keeper->identity->not_after_unix_s * S_MS, end));
    renew(keeper);
}

void
keeper_start(struct keeper *keeper)
{
    log_info(SCOPE, "Fetching initial identity");
    renew(keeper);
}

void
keeper_trust(struct keeper *keeper, struct slice anchors)
{
    struct arena scratch;
    struct diag diag;
    struct identity *identity;
    set_anchors(keeper, anchors);
    if (keeper->identity == NULL || keeper->is_stopping)
        return; /* the next attempt uses them */
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    struct slice chain = slice_str(keeper->present.chain), key = slice_str(keeper->present.key);
    if (identity_new(chain, key, keeper->anchors, &diag, &identity) == OK) {
        identity_unref(keeper->identity);
        keeper->identity = identity;
        keeper->on_identity(keeper->arg, identity_ref(identity), false);
    }
    if (identity_verify(chain, keeper->anchors, &diag) != OK) {
        log_warn(SCOPE, "The trust anchors do not confirm our certificate, asking for another");
        keeper->renew_unix_ms = 0; /* also if the first attempt fails */
        renew(keeper);
    }
    arena_fini(&scratch);
}

void
keeper_stop(struct keeper *keeper)
{
    keeper->is_stopping = true;
    timer_stop(&keeper->worker->timers, &keeper->timer);
    if (keeper->task != NULL)
        task_cancel(keeper->task);
}
