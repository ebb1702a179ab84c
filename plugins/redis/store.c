/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a state store: connect and probe, answer init, keep the connection, close; and how
 * trouble is told to users.
 */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES_MAX = 3072 }; /* the sidecar takes 4,096 */

/* --- failures ----------------------------------------------------------------------------------*/

struct remora_failure *
failure_new(remora_call *call, enum remora_code code, enum remora_effect effect, const char *format,
            ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t bytes = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    char *message = remora_call_alloc(call, bytes + 1);
    memcpy(message, text, bytes);
    message[bytes] = '\0';
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    *failure = (struct remora_failure){ .code = code, .effect = effect, .message = message };
    return failure;
}

struct remora_failure *
failure_busy(remora_call *call)
{
    return failure_new(call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                       "too many commands are waiting for redis");
}

/* The server did not run the command and says that another moment, or another server, may. */
static bool
is_passing(const struct resp_value *error)
{
    static const char *const codes[] = { "LOADING",     "READONLY", "MASTERDOWN",
                                         "CLUSTERDOWN", "TRYAGAIN", "BUSY" };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (resp_is_error(error, codes[i]))
            return true;
    return false;
}

struct remora_failure *
failure_of(struct store *store, remora_call *call, const struct conn_result *result, bool is_write,
           const char *prefix)
{
    const struct resp_value *value = result->value;
    if (value == NULL)
        return failure_new(call, REMORA_UNAVAILABLE,
                           !result->sent ? REMORA_EFFECT_NOT_SENT
                           : is_write    ? REMORA_EFFECT_UNKNOWN
                                         : REMORA_EFFECT_FAILED,
                           "%s%s", prefix, result->why);
    if (value->type != RESP_ERROR)
        return NULL;
    struct remora_slice text = value->text;
    int shown = text.len > 2048 ? 2048 : (int)text.len;
    if (!is_passing(value))
        return failure_new(call, REMORA_INTERNAL, REMORA_EFFECT_FAILED, "%s%.*s", prefix, shown,
                           text.data);
    struct remora_failure *failure = failure_new(call, REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
                                                 "%s%.*s", prefix, shown, text.data);
    if (resp_is_error(value, "READONLY")) { /* after a failover the name leads elsewhere */
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
    tls_context_free(store->tls);
    settings_fini(&store->settings);
    free(store);
}

static void
init_failed(struct store *store, const char *why)
{
    remora_call *call = store->init;
    remora_reply_error(call, REMORA_UNAVAILABLE, "redis store: error connecting to redis at %s: %s",
                       store->settings.shown_host, why);
    store_free(store);
}

/* "…\r\nconnected_slaves:1\r\n…" */
static unsigned
count_replicas(struct remora_slice info)
{
    static const char field[] = "connected_slaves:";
    const char *at = memmem(info.data, info.len, field, sizeof field - 1);
    unsigned count = 0;
    if (at == NULL)
        return 0;
    for (at += sizeof field - 1; at < info.data + info.len && *at >= '0' && *at <= '9'; at++)
        count = count > 1000 ? count : count * 10 + (unsigned)(*at - '0');
    return count;
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
        store->replicas = count_replicas(value->text);
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
        remora_log(REMORA_INFO, "redis: connected again host=%s", store->settings.shown_host);
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
                   store->settings.shown_host, why);
    store->is_down = true;
}

static struct conn_settings
conn_settings_of(struct store *store)
{
    const struct settings *settings = &store->settings;
    return (struct conn_settings){
        .host = settings->hosts[0].host,
        .port = settings->hosts[0].port,
        .locator = settings->failover ? &sentinel_locator : NULL,
        .locator_owner = &store->sentinels,
        .username = settings->username,
        .password = settings->password,
        .db = settings->db,
        .tls = store->tls,
        .first_pause_ms = (unsigned)settings->min_retry_interval_ms,
        .dial_timeout_ms = settings->dial_timeout_ms,
        .read_timeout_ms = settings->read_timeout_ms,
        .write_timeout_ms = settings->write_timeout_ms,
    };
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
        struct conn_settings settings = conn_settings_of(store);
        if (settings.read_timeout_ms >= 0)
            settings.read_timeout_ms += STORE_WAIT_MS;
        store->strong_conn = conn_new(remora_loop(), &settings, &events, store);
    }
    return store->strong_conn;
}

static bool
make_tls(struct store *store, char why[SETTINGS_WHY_BYTES])
{
    const struct settings *settings = &store->settings;
    char reason[TLS_ERROR_BYTES];
    if (!settings->enable_tls)
        return true;
    store->tls = tls_context_new(
        &(struct tls_settings){
            .skip_verify = settings->skip_verify,
            .ca_pem = settings->ca_cert,
            .certificate_pem = settings->client_cert,
            .key_pem = settings->client_key,
        },
        reason);
    if (store->tls == NULL)
        snprintf(why, SETTINGS_WHY_BYTES, "redis client configuration error: %s", reason);
    return store->tls != NULL;
}

static void
make_sentinels(struct store *store)
{
    const struct settings *settings = &store->settings;
    store->sentinels = (struct sentinels){
        .loop = remora_loop(),
        .count = settings->host_count,
        .master_name = settings->master_name,
        .username = settings->sentinel_username,
        .password = settings->sentinel_password,
        .tls = store->tls,
        .dial_timeout_ms = settings->dial_timeout_ms,
    };
    for (size_t i = 0; i < settings->host_count; i++)
        store->sentinels.addresses[i] = (struct sentinel_address){
            .host = settings->hosts[i].host, .port = settings->hosts[i].port
        };
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
    struct settings settings;
    if (!settings_parse(config, &settings, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return;
    }
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->settings = settings;
    store->init = call;
    store->retries_left = settings.max_retries;
    if (!make_tls(store, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        store_free(store);
        return;
    }
    make_sentinels(store);
    struct conn_settings conn_settings = conn_settings_of(store);
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
