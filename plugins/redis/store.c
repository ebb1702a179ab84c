/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a state store: connect and probe, answer init, keep the connection, close.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct remora_failure *
failure_of(struct store *store, remora_call *call, const struct conn_result *result, bool is_write,
           const char *prefix)
{
    struct remora_failure *failure = failure_of_result(call, result, is_write, prefix);
    if (failure_is_replica(result)) {
        conn_restart(store->conn, "the server has become a replica");
        if (store->strong_conn != NULL)
            conn_restart(store->strong_conn, "the server has become a replica");
    }
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
    conn_free(store->conn);
    conn_free(store->strong_conn);
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
    if (value == NULL)
        return; /* on_down() has heard of it */
    if (value->type == RESP_STRING)
        store->replicas = server_count_replicas(value->text);
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

static void
ask(struct conn *conn, conn_done *done, void *arg, const char *const *words, size_t count)
{
    struct remora_slice args[3];
    for (size_t i = 0; i < count; i++)
        args[i] = (struct remora_slice){ words[i], strlen(words[i]) };
    (void)conn_command(conn, args, count, 0, done, arg); /* nothing is queued before it */
}

/* Whether the server knows them now or not: a call that finds one missing sends its text. */
static void
load_scripts(struct conn *conn)
{
    const struct script *const scripts[] = { &script_set, &script_del, &script_transact,
                                             &script_documents, &script_read };
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        ask(conn, NULL, NULL, (const char *const[]){ "SCRIPT", "LOAD", scripts[i]->text }, 3);
}

static void
on_ready(void *owner)
{
    struct store *store = owner;
    if (store->is_down)
        remora_log(REMORA_INFO, "redis: connected again host=%s",
                   store->server.settings.shown_host);
    store->is_down = false;
    load_scripts(store->conn);
    ask(store->conn, on_json_probe, store, (const char *const[]){ "JSON.GET", "remora:probe" }, 2);
    ask(store->conn, on_info, store, (const char *const[]){ "INFO", "replication" }, 2);
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

static void
on_strong_ready(void *owner)
{
    struct store *store = owner;
    load_scripts(store->strong_conn);
}

static void
on_strong_down(void *owner, const char *why, bool refused)
{
    (void)owner; /* the other connection has the same trouble, and tells */
    (void)why;
    (void)refused;
}

struct conn *
store_strong_conn(struct store *store)
{
    static const struct conn_events events = { .ready = on_strong_ready, .down = on_strong_down };
    if (store->strong_conn == NULL) {
        struct conn_settings settings = server_conn_settings(&store->server);
        if (settings.read_timeout_ms >= 0)
            settings.read_timeout_ms += STORE_WAIT_MS;
        store->strong_conn = conn_new(remora_loop(), &settings, &events, store);
    }
    return store->strong_conn;
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
    static const struct conn_events events = { .ready = on_ready, .down = on_down };
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
    struct conn_settings conn_settings = server_conn_settings(&store->server);
    store->conn = conn_new(remora_loop(), &conn_settings, &events, store);
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
