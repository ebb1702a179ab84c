/* SPDX-License-Identifier: Apache-2.0 */
/* Stores and calls in few words, for the tests that need a server. */
#ifndef STORE_CALLS_H
#define STORE_CALLS_H

#include "fake_sdk.h"
#include "plugins/redis/store.h"

struct field {
    const char *name, *value;
};

/* An initialised store, or the failed call. `fields` end with a NULL name. */
static inline remora_call *
init_at(const char *host, const struct field *fields)
{
    struct remora_pair pairs[16];
    size_t count = 0;
    pairs[count++] = (struct remora_pair){ fake_slice("redisHost"), fake_slice(host) };
    for (; fields != NULL && fields->name != NULL; fields++)
        pairs[count++] = (struct remora_pair){ fake_slice(fields->name),
                                               fake_slice(fields->value) };
    remora_call *call = fake_call();
    store_init(call, &(struct remora_config){ .metadata = pairs, .metadata_count = count });
    return fake_wait(call);
}

static inline struct store *
open_at(const char *host, const struct field *fields)
{
    remora_call *call = init_at(host, fields);
    if (!call->ok)
        fprintf(stderr, "  %s\n", call->failure.message);
    REQUIRE(call->ok);
    struct store *store = call->self;
    fake_free(call);
    return store;
}

static inline struct remora_state_set
item(const char *key, const char *value)
{
    return (struct remora_state_set){ .key = fake_slice(key), .value = fake_slice(value) };
}

static inline struct remora_state_set
item_with_etag(const char *key, const char *value, const char *etag)
{
    struct remora_state_set wanted = item(key, value);
    wanted.has_etag = true;
    wanted.etag = fake_slice(etag);
    return wanted;
}

/* `wanted` must live until the reply. */
static inline remora_call *
start_set(struct store *store, const struct remora_state_set *wanted)
{
    remora_call *call = fake_call();
    state_set(call, store, wanted);
    return call;
}

static inline remora_call *
start_get(struct store *store, const char *key)
{
    remora_call *call = fake_call();
    state_get(call, store, &(struct remora_state_get){ .key = fake_slice(key) });
    return call;
}

static inline remora_call *
set(struct store *store, struct remora_state_set wanted)
{
    return fake_wait(start_set(store, &wanted));
}

static inline remora_call *
get(struct store *store, const char *key)
{
    return fake_wait(start_get(store, key));
}

static inline void
set_ok(struct store *store, struct remora_state_set wanted)
{
    remora_call *call = set(store, wanted);
    if (!CHECK(call->ok))
        fprintf(stderr, "  %s\n", call->failure.message);
    fake_free(call);
}

/* A NULL value is none, a NULL ETag too. */
static inline void
get_is(struct store *store, const char *key, const char *value, const char *etag)
{
    remora_call *call = get(store, key);
    if (!call->ok)
        fprintf(stderr, "  %s\n", call->failure.message);
    REQUIRE(call->ok);
    CHECK_EQ_INT(call->values[0].found, value != NULL);
    if (value != NULL)
        CHECK_EQ_STR(call->values[0].value, value);
    CHECK_EQ_INT(call->values[0].has_etag, etag != NULL);
    if (etag != NULL)
        CHECK_EQ_STR(call->values[0].etag, etag);
    fake_free(call);
}

/* How a call failed: its effect, and words of its text. */
static inline void
failed(remora_call *call, enum remora_code code, enum remora_effect effect, const char *words)
{
    CHECK(!call->ok);
    if (call->ok)
        return;
    CHECK_EQ_INT(call->failure.code, code);
    CHECK_EQ_INT(call->failure.effect, effect);
    if (!CHECK(strstr(call->failure.message, words) != NULL))
        fprintf(stderr, "  is: %s\n  not: …%s…\n", call->failure.message, words);
    fake_free(call);
}

#endif
