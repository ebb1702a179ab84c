/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks; see lock.h. Taking one is a single command and giving it back a single script, so that
 * nobody comes between a look and a write. A command whose reply was lost may have taken the lock
 * for nobody, until its time is over.
 */
#include "lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "server.h"

enum { NUMBER_BYTES = 24 };

/* Answers with the public API's numbers. */
enum unlock_answer { UNLOCK_DONE = 0, UNLOCK_NOT_THERE = 1, UNLOCK_OTHERS = 2 };
static const char unlock_script[] = "local owner = redis.call('GET', KEYS[1])\n"
                                    "if not owner then return 1 end\n"
                                    "if owner ~= ARGV[1] then return 2 end\n"
                                    "redis.call('DEL', KEYS[1])\n"
                                    "return 0\n";

struct lock_store {
    struct server server;
    struct conn *conn;
    bool is_down;
    remora_call *init; /* to be answered, or NULL */
    int64_t retries_left;
    char last_why[CONN_WHY_BYTES]; /* the latest failed attempt of init; empty if none */
};

struct locking {
    struct lock_store *store;
    remora_call *call;
};

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

/* --- operations --------------------------------------------------------------------------------*/

/* Answers a call that failed; false if it did not. */
static bool
reply_failure(const struct locking *locking, const struct conn_result *result)
{
    struct remora_failure *failure = failure_of_result(locking->call, result, true, "");
    if (failure_is_replica(result))
        conn_restart(locking->store->conn, "the server has become a replica");
    if (failure != NULL)
        remora_reply_failure(locking->call, failure);
    return failure != NULL;
}

static void
reply_strange(const struct locking *locking)
{
    remora_reply_failure(locking->call,
                         failure_new(locking->call, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                                     "redis answered with something else"));
}

static void
run(const struct locking *wanted, const struct remora_slice *args, size_t count, conn_done *done)
{
    struct locking *locking = remora_call_alloc(wanted->call, sizeof *locking);
    *locking = *wanted;
    if (!conn_command(locking->store->conn, args, count, remora_call_time_left_ms(locking->call),
                      done, locking))
        remora_reply_failure(locking->call, failure_busy(locking->call));
}

/* "OK", or nil where the key is there already. */
static void
on_tried(const struct conn_result *result, void *arg)
{
    const struct locking *locking = arg;
    if (reply_failure(locking, result))
        return;
    bool is_held = result->value->type == RESP_STATUS;
    if (is_held || result->value->type == RESP_NIL)
        remora_lock_reply_tried(locking->call, is_held);
    else
        reply_strange(locking);
}

static void
try_lock(remora_call *call, void *self, struct remora_slice resource, struct remora_slice owner,
         uint32_t expiry_seconds)
{
    char seconds[NUMBER_BYTES];
    snprintf(seconds, sizeof seconds, "%" PRIu32, expiry_seconds);
    const struct remora_slice args[] = { text("SET"), resource,   owner,
                                         text("NX"),  text("EX"), text(seconds) };
    run(&(struct locking){ self, call }, args, sizeof args / sizeof args[0], on_tried);
}

static void
on_unlocked(const struct conn_result *result, void *arg)
{
    static const enum remora_unlock statuses[] = {
        [UNLOCK_DONE] = REMORA_UNLOCKED,
        [UNLOCK_NOT_THERE] = REMORA_UNLOCK_DOES_NOT_EXIST,
        [UNLOCK_OTHERS] = REMORA_UNLOCK_BELONGS_TO_OTHERS,
    };
    const struct locking *locking = arg;
    if (reply_failure(locking, result))
        return;
    const struct resp_value *value = result->value;
    if (value->type == RESP_INTEGER && value->integer >= 0 && value->integer <= UNLOCK_OTHERS)
        remora_lock_reply_unlocked(locking->call, statuses[value->integer]);
    else
        reply_strange(locking);
}

static void
unlock(remora_call *call, void *self, struct remora_slice resource, struct remora_slice owner)
{
    const struct remora_slice args[] = { text("EVAL"), text(unlock_script), text("1"), resource,
                                         owner };
    run(&(struct locking){ self, call }, args, sizeof args / sizeof args[0], on_unlocked);
}

const struct remora_lock_ops redis_lock_ops = { .try_lock = try_lock, .unlock = unlock };

/* --- the life ----------------------------------------------------------------------------------*/

static void
store_free(struct lock_store *store)
{
    conn_free(store->conn);
    server_fini(&store->server);
    free(store);
}

static void
init_failed(struct lock_store *store, const char *why)
{
    remora_reply_error(store->init, REMORA_UNAVAILABLE,
                       "[standaloneRedisLock]: error connecting to redis at %s: %s",
                       store->server.settings.shown_host, why);
    store_free(store);
}

/* A replica may take over without the latest locks, so that two would hold one. A server that does
 * not tell is taken, as the reference does. */
static void
on_info(const struct conn_result *result, void *arg)
{
    struct lock_store *store = arg;
    if (result->value == NULL || store->init == NULL)
        return; /* on_down() has heard of the former */
    remora_call *call = store->init;
    if (result->value->type == RESP_STRING && server_count_replicas(result->value->text) > 0) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "replication is not supported");
        store_free(store);
        return;
    }
    store->init = NULL;
    remora_reply_init(call, store, 0, 0);
}

static void
on_ready(void *owner)
{
    struct lock_store *store = owner;
    const struct remora_slice args[] = { text("INFO"), text("replication") };
    if (store->is_down)
        remora_log(REMORA_INFO, "redis lock: connected again host=%s",
                   store->server.settings.shown_host);
    store->is_down = false;
    if (store->init != NULL)
        (void)conn_command(store->conn, args, 2, 0, on_info, store); /* nothing is queued before */
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct lock_store *store = owner;
    if (store->init != NULL) {
        snprintf(store->last_why, sizeof store->last_why, "%s", why);
        if (refused || store->retries_left-- <= 0)
            init_failed(store, why);
        return;
    }
    if (!store->is_down)
        remora_log(REMORA_WARN, "redis lock: no connection, trying on host=%s reason=\"%s\"",
                   store->server.settings.shown_host, why);
    store->is_down = true;
}

/* The sidecar waits no longer. A store that came up later would be nobody's. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct lock_store *store = arg;
    char why[CONN_WHY_BYTES];
    (void)call;
    snprintf(why, sizeof why, "%s",
             store->last_why[0] != '\0' ? store->last_why : "context deadline exceeded");
    init_failed(store, why);
}

void
redis_lock_init(remora_call *call, const struct remora_config *config)
{
    static const struct conn_events events = { .ready = on_ready, .down = on_down };
    char why[SETTINGS_WHY_BYTES];
    struct lock_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    if (!server_init(&store->server, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(store);
        return;
    }
    store->init = call;
    store->retries_left = store->server.settings.max_retries;
    struct conn_settings settings = server_conn_settings(&store->server);
    store->conn = conn_new(remora_loop(), &settings, &events, store);
    remora_call_on_cancel(call, on_init_cancelled,
                          store); /* which may be at once: nothing follows */
}

void
redis_lock_close(void *self)
{
    store_free(self);
}
