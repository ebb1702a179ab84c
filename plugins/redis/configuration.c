/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a store of configuration, and reading it; see configuration.h. */
#include "configuration.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

/* One get(): with no keys asked for they are found first. In the call's memory, but for what grows.
 */
struct reading {
    struct configuration *configuration;
    remora_call *call;
    struct remora_slice *keys; /* owned texts only where they were found */
    size_t key_count, key_cap, next_key;
    bool owns_keys;
    int slot;                                /* of the server whose keys are being found */
    struct remora_configuration_item *items; /* texts owned */
    size_t item_count;
    size_t bytes;
};

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

static struct remora_slice
copy(struct remora_slice from)
{
    return (struct remora_slice){ remora_slice_dup(from), from.len };
}

void
configuration_split(struct remora_slice value, struct remora_configuration_item *ret_item)
{
    const char *end = value.data + value.len;
    const char *bar = memmem(value.data, value.len, "||", 2);
    ret_item->value = ret_item->version = (struct remora_slice){ "", 0 };
    if (value.len > 0)
        ret_item->value = (struct remora_slice){ value.data,
                                                 (size_t)((bar == NULL ? end : bar) - value.data) };
    if (bar == NULL)
        return;
    const char *version = bar + 2;
    const char *next = memmem(version, (size_t)(end - version), "||", 2);
    ret_item->version = (struct remora_slice){ version,
                                               (size_t)((next == NULL ? end : next) - version) };
}

int
configuration_compare_keys(const void *a, const void *b)
{
    const struct remora_slice *left = a, *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = len == 0 ? 0 : memcmp(left->data, right->data, len);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

bool
configuration_mget(struct configuration *configuration, const struct remora_slice *keys,
                   size_t count, uint64_t wait_ms, conn_done *done, void *arg)
{
    assert(count <= CONFIGURATION_KEYS_A_TIME);
    return link_mget(configuration->link, keys, count, wait_ms, done, arg);
}

/* --- reading -----------------------------------------------------------------------------------*/

static void
reading_free(struct reading *reading)
{
    for (size_t i = 0; reading->owns_keys && i < reading->key_count; i++)
        free((char *)(uintptr_t)reading->keys[i].data);
    for (size_t i = 0; i < reading->item_count; i++)
        free((char *)(uintptr_t)reading->items[i].value.data);
    free(reading->keys);
    free(reading->items);
    free(reading);
}

static void
fail(struct reading *reading, struct remora_failure *failure)
{
    remora_reply_failure(reading->call, failure);
    reading_free(reading);
}

static void
fail_too_large(struct reading *reading)
{
    fail(reading, failure_new(reading->call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                              "an answer holds at most %d items and %d bytes: ask for fewer keys",
                              CONFIGURATION_KEYS_MAX, CONFIGURATION_BYTES_MAX));
}

/* Answers a call that failed; false if it did not. */
static bool
has_failed(struct reading *reading, const struct conn_result *result, enum resp_type type)
{
    struct remora_failure *failure = failure_of_result(reading->call, result, false, "");
    if (failure_is_replica(result))
        link_restart(reading->configuration->link, "the server has become a replica");
    if (failure == NULL && result->value->type != type)
        failure = failure_new(reading->call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                              "redis answered with something else");
    if (failure != NULL)
        fail(reading, failure);
    return failure != NULL;
}

static void read_more(struct reading *reading);

/* What is no string is nil. */
static void
on_values(const struct conn_result *result, void *arg)
{
    struct reading *reading = arg;
    if (has_failed(reading, result, RESP_ARRAY))
        return;
    const struct resp_value *values = result->value;
    for (size_t i = 0; i < values->count && reading->next_key < reading->key_count; i++) {
        struct remora_slice key = reading->keys[reading->next_key++];
        if (values->items[i].type != RESP_STRING)
            continue;
        struct remora_slice value = copy(values->items[i].text);
        struct remora_configuration_item *item = &reading->items[reading->item_count++];
        *item = (struct remora_configuration_item){ .key = key };
        configuration_split(value, item);
        if (item->value.data != value.data) /* what is freed */
            item->value = (struct remora_slice){ value.data, 0 };
        reading->bytes += key.len + value.len;
    }
    if (reading->bytes > CONFIGURATION_BYTES_MAX)
        fail_too_large(reading);
    else
        read_more(reading);
}

static void
read_more(struct reading *reading)
{
    size_t count = reading->key_count - reading->next_key;
    if (count == 0) {
        remora_configuration_reply(reading->call, reading->items, reading->item_count);
        reading_free(reading);
        return;
    }
    if (count > CONFIGURATION_KEYS_A_TIME)
        count = CONFIGURATION_KEYS_A_TIME;
    if (!configuration_mget(reading->configuration, reading->keys + reading->next_key, count,
                            remora_call_time_left_ms(reading->call), on_values, reading))
        fail(reading, failure_busy(reading->call));
}

/* Each key once, in order. */
static void
begin_reading(struct reading *reading)
{
    size_t kept = 0;
    if (reading->key_count > 1)
        qsort(reading->keys, reading->key_count, sizeof *reading->keys, configuration_compare_keys);
    for (size_t i = 0; i < reading->key_count; i++) {
        bool is_again = kept > 0 && configuration_compare_keys(&reading->keys[kept - 1],
                                                               &reading->keys[i]) == 0;
        if (!is_again)
            reading->keys[kept++] = reading->keys[i];
        else if (reading->owns_keys)
            free((char *)(uintptr_t)reading->keys[i].data);
    }
    reading->key_count = kept;
    reading->items = calloc(kept + 1, sizeof *reading->items);
    if (reading->items == NULL)
        abort();
    read_more(reading);
}

/* --- all keys ----------------------------------------------------------------------------------*/

static void scan(struct reading *reading, struct remora_slice cursor);
static void scan_next(struct reading *reading);

static void
take_key(struct reading *reading, struct remora_slice key)
{
    if (reading->key_count == reading->key_cap) {
        reading->key_cap = reading->key_cap * 2 + 64;
        reading->keys = reallocarray(reading->keys, reading->key_cap, sizeof *reading->keys);
        if (reading->keys == NULL)
            abort();
    }
    reading->keys[reading->key_count++] = copy(key);
}

/* The next cursor, and some keys. */
static void
on_scanned(const struct conn_result *result, void *arg)
{
    struct reading *reading = arg;
    if (has_failed(reading, result, RESP_ARRAY))
        return;
    const struct resp_value *parts = result->value->items;
    if (result->value->count != 2 || parts[0].type != RESP_STRING || parts[1].type != RESP_ARRAY) {
        fail(reading, failure_new(reading->call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                                  "redis answered SCAN with something else"));
        return;
    }
    for (size_t i = 0; i < parts[1].count; i++)
        if (parts[1].items[i].type == RESP_STRING && parts[1].items[i].text.len > 0)
            take_key(reading, parts[1].items[i].text);
    if (reading->key_count > CONFIGURATION_KEYS_MAX)
        fail_too_large(reading);
    else if (remora_slice_eq(parts[0].text, "0"))
        scan_next(reading);
    else
        scan(reading, parts[0].text);
}

static void
scan(struct reading *reading, struct remora_slice cursor)
{
    const struct remora_slice args[] = { text("SCAN"), cursor, text("COUNT"), text("1000") };
    if (!link_command(reading->configuration->link, LINK_MAIN, reading->slot, args, 4,
                      remora_call_time_left_ms(reading->call), on_scanned, reading))
        fail(reading, failure_busy(reading->call));
}

/* One server after the other. */
static void
scan_next(struct reading *reading)
{
    reading->slot = link_next_server(reading->configuration->link, reading->slot);
    if (reading->slot == LINK_ANY)
        begin_reading(reading);
    else
        scan(reading, text("0"));
}

static void
get(remora_call *call, void *self, const struct remora_configuration_query *query)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        abort();
    *reading = (struct reading){ .configuration = self, .call = call, .slot = LINK_ANY };
    if (query->key_count == 0) {
        reading->owns_keys = true;
        scan_next(reading);
        return;
    }
    reading->keys = calloc(query->key_count, sizeof *reading->keys);
    if (reading->keys == NULL)
        abort();
    memcpy(reading->keys, query->keys, query->key_count * sizeof *reading->keys);
    reading->key_count = query->key_count;
    begin_reading(reading);
}

const struct remora_configuration_ops redis_configuration_ops = {
    .get = get, .subscribe = keyspace_subscribe, .unsubscribe = keyspace_unsubscribe
};

/* --- the life ----------------------------------------------------------------------------------*/

static void
configuration_free(struct configuration *configuration)
{
    ears_free(configuration); /* which look for their servers by the link */
    link_free(configuration->link);
    keyspace_free(configuration);
    server_fini(&configuration->server);
    free(configuration);
}

void
configuration_unhold(struct configuration *configuration)
{
    configuration->holds--;
    if (configuration->is_closed && configuration->holds == 0)
        configuration_free(configuration);
}

static void
init_failed(struct configuration *configuration, const char *why)
{
    remora_reply_error(configuration->init, REMORA_UNAVAILABLE,
                       "redis configuration store: error connecting to redis at %s: %s",
                       configuration->server.settings.shown_host, why);
    configuration_free(configuration);
}

static void
on_ready(void *owner)
{
    struct configuration *configuration = owner;
    if (configuration->is_down)
        remora_log(REMORA_INFO, "redis configuration: connected again host=%s",
                   configuration->server.settings.shown_host);
    configuration->is_down = false;
    remora_call *call = configuration->init;
    configuration->init = NULL;
    if (call != NULL)
        remora_reply_init(call, configuration, 0, 0);
    else
        keyspace_go_on(configuration);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct configuration *configuration = owner;
    if (configuration->init != NULL) {
        snprintf(configuration->last_why, sizeof configuration->last_why, "%s", why);
        if (refused || configuration->retries_left-- <= 0)
            init_failed(configuration, why);
        return;
    }
    if (!configuration->is_down)
        remora_log(REMORA_WARN,
                   "redis configuration: no connection, trying on host=%s reason=\"%s\"",
                   configuration->server.settings.shown_host, why);
    configuration->is_down = true;
}

/* The sidecar waits no longer. A store that came up later would be nobody's. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct configuration *configuration = arg;
    char why[CONN_WHY_BYTES];
    (void)call;
    snprintf(why, sizeof why, "%s",
             configuration->last_why[0] != '\0' ? configuration->last_why
                                                : "context deadline exceeded");
    init_failed(configuration, why);
}

static void
on_changed(void *owner)
{
    ears_follow(owner);
}

void
redis_configuration_init(remora_call *call, const struct remora_config *config)
{
    static const struct link_events events = { .ready = on_ready,
                                               .down = on_down,
                                               .changed = on_changed };
    char why[SETTINGS_WHY_BYTES];
    struct configuration *configuration = calloc(1, sizeof *configuration);
    if (configuration == NULL)
        abort();
    if (!server_init(&configuration->server, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(configuration);
        return;
    }
    configuration->init = call;
    configuration->retries_left = configuration->server.settings.max_retries;
    configuration->link = server_connect(&configuration->server, 0, &events, configuration);
    remora_call_on_cancel(call, on_init_cancelled,
                          configuration); /* which may be at once: nothing follows */
}

void
redis_configuration_close(void *self)
{
    struct configuration *configuration = self;
    configuration->is_closed = true;
    configuration->holds++;
    configuration_unhold(configuration);
}
