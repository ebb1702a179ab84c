/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks; see lock.h. Taking one is a single command and giving it back a single script, so that
 * nobody comes between a look and a write. A command whose reply was lost may have taken the lock
 * for nobody, until its time is over.
 */
#include "lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "failure.h"
#include "replication.h"

enum { NUMBER_BYTES = 24 };

/* Answers with the public API's numbers. */
enum unlock_answer { UNLOCK_DONE = 0, UNLOCK_NOT_THERE = 1, UNLOCK_OTHERS = 2 };
static const char unlock_script[] = "local owner = redis.call('GET', KEYS[1])\n"
                                    "if not owner then return 1 end\n"
                                    "if owner ~= ARGV[1] then return 2 end\n"
                                    "redis.call('DEL', KEYS[1])\n"
                                    "return 0\n";

struct locking {
    struct client *client;
    remora_call *call;
};

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

/* --- operations --------------------------------------------------------------------------------*/

static void
reply_strange(const struct locking *locking)
{
    remora_reply_failure(locking->call,
                         failure_new(locking->call, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                                     "redis answered with something else"));
}

static void
run(const struct locking *wanted, struct remora_slice resource, const struct remora_slice *args,
    size_t count, conn_done *done)
{
    struct locking *locking = remora_call_alloc(wanted->call, sizeof *locking);
    *locking = *wanted;
    client_command(locking->client, locking->call, resource, args, count, done, locking);
}

/* "OK", or nil where the key is there already. */
static void
on_tried(const struct conn_result *result, void *arg)
{
    const struct locking *locking = arg;
    if (client_failed(locking->client, locking->call, result, true))
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
    run(&(struct locking){ self, call }, resource, args, sizeof args / sizeof args[0], on_tried);
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
    if (client_failed(locking->client, locking->call, result, true))
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
    run(&(struct locking){ self, call }, resource, args, sizeof args / sizeof args[0], on_unlocked);
}

const struct remora_lock_ops redis_lock_ops = { .try_lock = try_lock, .unlock = unlock };

/* --- the life ----------------------------------------------------------------------------------*/

/* A replica may take over without the latest locks, so that two would hold one. A server that does
 * not tell is taken, as the reference does. */
static void
on_info(const struct conn_result *result, void *arg)
{
    struct client *client = arg;
    const struct resp_value *value = result->value;
    client->questions--;
    if (value == NULL) {
        client->is_cut_off = true;
        snprintf(client->last_why, sizeof client->last_why, "%s", result->why);
    } else if (value->type == RESP_STRING && replication_count(value->text) > 0) {
        client->has_replicas = true;
    }
    if (client->init == NULL || client->questions > 0)
        return;
    if (client->has_replicas)
        client_is_unfit(client, REMORA_FAILED_PRECONDITION, "replication is not supported");
    else if (client->is_cut_off) /* of one server that is known; of a cluster it is all said anew */
        link_restart(client->link, client->last_why);
    else
        client_is_fit(client);
}

/* Asks every server. */
static void
probe(struct client *client)
{
    const struct remora_slice args[] = { text("INFO"), text("replication") };
    uint64_t wait_ms = (uint64_t)client->server.settings.dial_timeout_ms;
    struct link *link = client->link;
    if (client->questions > 0)
        return; /* those that have been asked already will tell */
    client->is_cut_off = false;
    for (int slot = LINK_ANY; (slot = link_next_server(link, slot)) != LINK_ANY;)
        client->questions += link_command(link, LINK_MAIN, slot, args, 2, wait_ms, on_info, client);
}

void
redis_lock_init(remora_call *call, const struct remora_config *config)
{
    static const struct client_kind kind = {
        .shown = "redis lock",
        .fault = "[standaloneRedisLock]: error connecting to redis",
        .probe = probe,
    };
    client_init(call, config, &kind);
}
