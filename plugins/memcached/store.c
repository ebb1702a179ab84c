/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component and its operations: each is one request to the server that has the key. What belongs
 * to a request lies in the call's memory, which ends with the reply.
 */
#include "store.h"

#include <stdio.h>
#include <time.h>

#include "../shared/memory.h"
#include "server.h"

struct store {
    struct server *servers[HOSTS_MAX];
    size_t server_count;
};

/* A request of an operation. */
struct operation {
    struct request request; /* first */
    remora_call *call;
    size_t value_bytes; /* of a set, for its refusal */
};

/* --- operations --------------------------------------------------------------------------------*/

static void
reply_refusal(remora_call *call, const struct answer *answer, size_t value_bytes)
{
    int len = answer->value.len > 200 ? 200 : (int)answer->value.len;
    if (answer->kind == ANSWER_TOO_LARGE)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "a value of %zu bytes is larger than the server takes, which is 1 MiB "
                           "unless it was started with -I: %.*s",
                           value_bytes, len, answer->value.data);
    else
        remora_reply_error(call, REMORA_INTERNAL, "memcache: the server answers: %.*s", len,
                           answer->value.data);
}

static void
on_done(struct request *request, const struct answer *answer, const struct remora_failure *failure)
{
    struct operation *operation = (struct operation *)request;
    remora_call *call = operation->call;
    if (failure != NULL) {
        remora_reply_failure(call, failure);
    } else if (answer->kind == ANSWER_TOO_LARGE || answer->kind == ANSWER_REFUSED) {
        reply_refusal(call, answer, operation->value_bytes);
    } else if (request->command == COMMAND_GET) {
        struct remora_state_value value = { .found = answer->kind == ANSWER_VALUE,
                                            .value = { .data = answer->value.data,
                                                       .len = answer->value.len } };
        remora_state_reply_value(call, &value);
    } else {
        remora_reply_ok(call); /* what was not there to delete is gone too */
    }
}

static struct operation *
new_operation(remora_call *call, enum command command, struct remora_slice key)
{
    struct operation *operation = remora_call_alloc(call, sizeof(*operation));
    *operation = (struct operation){ .request = { .command = command, .key = key, .done = on_done },
                                     .call = call };
    return operation;
}

static void
submit(struct store *store, struct operation *operation)
{
    struct remora_slice key = operation->request.key;
    if (!key_is_legal(key)) {
        remora_reply_error(operation->call, REMORA_INVALID_ARGUMENT,
                           "malformed: key is too long or contains invalid characters: memcached "
                           "takes up to %d bytes, with the prefix, without spaces and control "
                           "characters, not this one of %zu bytes",
                           KEY_BYTES_MAX, key.len);
        return;
    }
    server_submit(store->servers[key_place(key, store->server_count)], &operation->request);
}

static void
state_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    submit(self, new_operation(call, COMMAND_GET, get->key));
}

static void
state_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    submit(self, new_operation(call, COMMAND_DELETE, del->key));
}

/* The kernel has read it if it is a number; what is in the metadata only is none. */
static bool
read_expiry(remora_call *call, const struct remora_state_set *set, int64_t *ret_expiry)
{
    struct remora_slice text;
    if (!set->has_ttl &&
        remora_metadata_get(set->metadata, set->metadata_count, "ttlInSeconds", &text) &&
        text.len > 0) {
        remora_reply_error(
            call, REMORA_INTERNAL,
            "failed to parse ttl: strconv.ParseInt: parsing \"%.*s\": invalid syntax",
            (int)(text.len < 64 ? text.len : 64), text.data);
        return false;
    }
    if (expiry_of(set->has_ttl ? set->ttl_seconds : 0, (int64_t)time(NULL), ret_expiry))
        return true;
    remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                       "a time to live of %lld s ends after January 2038, which memcached cannot "
                       "say",
                       (long long)set->ttl_seconds);
    return false;
}

static void
state_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    struct operation *operation = new_operation(call, COMMAND_SET, set->key);
    operation->request.value = set->value;
    operation->value_bytes = set->value.len;
    if (read_expiry(call, set, &operation->request.expiry))
        submit(self, operation);
}

const struct remora_state_ops state_ops = {
    .get = state_get,
    .set = state_set,
    .del = state_delete,
};

/* --- life --------------------------------------------------------------------------------------*/

/* In the call's memory, as its probes. */
struct opening {
    remora_call *call;
    struct store *store;
    size_t waiting;
    bool has_failed;
    char why[300]; /* of the first failure */
};

struct probe {
    struct request request; /* first */
    struct opening *opening;
};

static void
free_store(struct store *store)
{
    for (size_t i = 0; i < store->server_count; i++)
        server_free(store->servers[i]);
    free(store);
}

/* Not within a server's own function, which it would not survive. */
static void
on_failed(void *arg)
{
    free_store(arg);
}

static void
on_probed(struct request *request, const struct answer *answer,
          const struct remora_failure *failure)
{
    struct opening *opening = ((struct probe *)request)->opening;
    if (!opening->has_failed && (failure != NULL || answer->kind != ANSWER_DONE)) {
        opening->has_failed = true;
        (void)snprintf(opening->why, sizeof opening->why, "%s",
                       failure != NULL ? failure->message : "memcache: it is no memcached");
    }
    if (--opening->waiting > 0)
        return;
    if (opening->has_failed) {
        remora_post(on_failed, opening->store);
        remora_reply_error(opening->call, REMORA_UNAVAILABLE, "%s", opening->why);
    } else {
        remora_reply_init(opening->call, opening->store, REMORA_CAP_TTL, 0);
    }
}

/* Every server has to be there, as in the reference. */
static void
probe(remora_call *call, struct store *store)
{
    size_t count = store->server_count;
    struct opening *opening = remora_call_alloc(call, sizeof(*opening));
    struct probe *probes = remora_call_alloc(call, count * sizeof(*probes));
    *opening = (struct opening){ .call = call, .store = store, .waiting = count };
    for (size_t i = 0; i < count; i++)
        probes[i] = (struct probe){
            .request = { .command = COMMAND_VERSION, .key = { "", 0 }, .done = on_probed },
            .opening = opening
        };
    /* With the last of them everything here may be gone. */
    for (size_t i = 0; i < count; i++)
        server_submit(store->servers[i], &probes[i].request);
}

void
store_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    struct settings *settings = memory_new(sizeof(*settings));
    if (!settings_read(settings, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(settings);
        return;
    }
    struct store *store = memory_new(sizeof(*store));
    for (; store->server_count < settings->place_count; store->server_count++)
        store->servers[store->server_count] = server_new(&settings->places[store->server_count],
                                                         settings->timeout_ms);
    free(settings);
    probe(call, store);
}

void
store_close(void *self)
{
    free_store(self);
}
