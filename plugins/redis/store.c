/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a state store: connect and probe, answer init, keep the connection, close.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication.h"

struct remora_failure *
failure_of(struct store *store, remora_call *call, const struct conn_result *result, bool is_write,
           const char *prefix)
{
    struct remora_failure *failure = failure_of_result(call, result, is_write, prefix);
    if (failure_is_replica(result))
        link_restart(store->link, "the server has become a replica");
    return failure;
}

bool
store_wants_document(const struct store *store, const struct remora_pair *metadata,
                     size_t metadata_count)
{
    struct remora_slice type;
    return store->has_json && remora_metadata_get(metadata, metadata_count, "contentType", &type) &&
           remora_slice_eq(type, "application/json");
}

uint64_t
store_wait_ms(const remora_call *call)
{
    return remora_call_time_left_ms(call);
}

/* --- the life ----------------------------------------------------------------------------------*/

static void
store_free(struct store *store)
{
    link_free(store->link);
    state_forget_waiters(store);
    server_fini(&store->server);
    free(store);
}

static void
init_failed(struct store *store, const char *why)
{
    remora_call *call = store->init;
    remora_reply_error(call, REMORA_UNAVAILABLE, "redis store: error connecting to redis at %s: %s",
                       store->server.settings.shown_host, why);
    store_free(store);
}

/* The last of the probes. */
static void
on_info(const struct conn_result *result, void *arg)
{
    struct store *store = arg;
    const struct resp_value *value = result->value;
    if (value == NULL) { /* on_down() has heard of it, unless another server can be asked */
        if (store->init == NULL)
            return;
        snprintf(store->last_why, sizeof store->last_why, "%s", result->why);
        link_restart(store->link, result->why);
        return;
    }
    if (value->type == RESP_STRING)
        link_note_replicas(store->link, replication_count(value->text));
    if (store->init == NULL)
        return;
    if (value->type != RESP_STRING) {
        struct remora_slice text = { "redis answered INFO with something else", 39 };
        if (value->type == RESP_ERROR)
            text = value->text;
        remora_reply_error(store->init, REMORA_INTERNAL, "%.*s",
                           text.len > 2048 ? 2048 : (int)text.len, text.data);
        store_free(store);
        return;
    }
    remora_call *call = store->init;
    store->init = NULL;
    store->was_ready = true;
    remora_reply_init(
        call, store,
        REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL | REMORA_CAP_TTL | REMORA_CAP_KEYS_LIKE, 0);
}

/* "unknown command" without the module; anything else comes from it. */
static void
on_json_probe(const struct conn_result *result, void *arg)
{
    struct store *store = arg;
    if (result->value != NULL)
        store->has_json = !resp_is_error(result->value, "ERR") &&
                          !resp_is_error(result->value, "NOPERM");
}

/* Whether the server knows them now or not: a call that finds one missing sends its text. */
static void
load_scripts(void *owner, struct conn *conn)
{
    const struct script *const scripts[] = { &script_set, &script_del, &script_transact,
                                             &script_documents, &script_read };
    (void)owner;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const char *text = scripts[i]->text;
        const struct remora_slice args[] = { { "SCRIPT", 6 },
                                             { "LOAD", 4 },
                                             { text, strlen(text) } };
        (void)conn_command(conn, args, 3, 0, NULL, NULL); /* nothing is queued before it */
    }
}

static void
on_ready(void *owner)
{
    struct store *store = owner;
    if (store->is_down)
        remora_log(REMORA_INFO, "redis: connected again host=%s",
                   store->server.settings.shown_host);
    store->is_down = false;
    const struct remora_slice key = { "remora:probe", 12 };
    const struct remora_slice json[] = { { "JSON.GET", 8 }, key };
    const struct remora_slice info[] = { { "INFO", 4 }, { "replication", 11 } };
    uint64_t wait_ms = (uint64_t)store->server.settings.dial_timeout_ms;
    int slot = link_slot(store->link, key); /* the other one goes there too: they stay in order */
    (void)link_command(store->link, LINK_MAIN, slot, json, 2, wait_ms, on_json_probe, store);
    (void)link_command(store->link, LINK_MAIN, slot, info, 2, wait_ms, on_info, store);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct store *store = owner;
    if (store->init != NULL) {
        snprintf(store->last_why, sizeof store->last_why, "%s", why);
        if (refused || store->retries_left-- <= 0)
            init_failed(store, why);
        return;
    }
    if (!store->is_down)
        remora_log(REMORA_WARN, "redis: no connection, trying on host=%s reason=\"%s\"",
                   store->server.settings.shown_host, why);
    store->is_down = true;
}

/* The sidecar waits no longer. A store that came up later would be nobody's. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct store *store = arg;
    char why[CONN_WHY_BYTES];
    (void)call;
    snprintf(why, sizeof why, "%s",
             store->last_why[0] != '\0' ? store->last_why : "context deadline exceeded");
    init_failed(store, why);
}

void
store_init(remora_call *call, const struct remora_config *config)
{
    static const struct link_events events = { .ready = on_ready,
                                               .down = on_down,
                                               .connected = load_scripts };
    char why[SETTINGS_WHY_BYTES];
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    if (!server_init(&store->server, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(store);
        return;
    }
    store->init = call;
    store->retries_left = store->server.settings.max_retries;
    store->link = server_connect(&store->server, STORE_WAIT_MS, &events, store);
    remora_call_on_cancel(call, on_init_cancelled,
                          store); /* which may be at once: nothing follows */
}

void
store_close(void *self)
{
    store_free(self);
}

const struct remora_state_ops store_ops = {
    .get = state_get,
    .get_many = state_get_many,
    .set = state_set,
    .set_many = state_set_many,
    .del = state_delete,
    .delete_many = state_delete_many,
    .transact = state_transact,
    .query = state_query,
    .keys_like = state_keys_like,
};
