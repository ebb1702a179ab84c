/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets that metadata refers to; see secret_refs.h. */
#include "component/secret_refs.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/wire.h"
#include "component/secret.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "resiliency/run.h"

/* Field number of InitRequest.metadata. */
enum { INIT_METADATA = 4 };

#define KEY_ERROR "failed to extract encryption key: failed to extract encryption key: "

enum ref_use { USE_VALUE, USE_PRIMARY_KEY, USE_SECONDARY_KEY };

struct ref {
    enum ref_use use;
    struct slice metadata; /* the name of the metadata item */
    struct slice secret;
    struct slice key;
};

struct secret_refs {
    struct arena arena; /* the texts */
    const struct routes *routes;
    struct slice store;
    struct slice namespace_;
    struct ref *items;
    size_t count;
};

/* --- what is wanted ----------------------------------------------------------------------------*/

static enum ref_use
use_of(struct slice metadata, bool is_state)
{
    if (is_state && slice_eq_nocase(metadata, PRIMARY_KEY))
        return USE_PRIMARY_KEY;
    if (is_state && slice_eq_nocase(metadata, SECONDARY_KEY))
        return USE_SECONDARY_KEY;
    return USE_VALUE;
}

bool
secret_refs_check(const struct component_spec *spec, bool is_state, struct slice *ret_error)
{
    if (!is_state)
        return true;
    const struct component_value *primary = component_value(spec, PRIMARY_KEY);
    const struct component_value *secondary = component_value(spec, SECONDARY_KEY);
    const struct component_value *prefix = component_value(spec, SLICE("keyPrefix"));
    /* A key in plain sight would be taken for protection; the reference writes values with it that
     * nobody can read again. */
    if ((primary != NULL && primary->secret_name.len == 0) ||
        (secondary != NULL && secondary->secret_name.len == 0))
        *ret_error = SLICE(KEY_ERROR "secretKeyRef cannot be empty");
    else if (secondary != NULL && primary == NULL)
        *ret_error = SLICE(KEY_ERROR "secondaryEncryptionKey without primaryEncryptionKey");
    else if (prefix != NULL && prefix->secret_name.len > 0)
        *ret_error = SLICE("keyPrefix cannot be a secret: it is part of every key");
    else
        return true;
    return false;
}

struct secret_refs *
secret_refs_new(const struct routes *routes, const struct component_spec *spec, bool is_state)
{
    if (!spec->has_secrets)
        return NULL;
    struct secret_refs *refs = calloc(1, sizeof *refs);
    if (refs == NULL)
        abort();
    arena_init(&refs->arena);
    refs->routes = routes;
    refs->store = arena_dup(&refs->arena, spec->auth_secret_store);
    refs->namespace_ = arena_dup(&refs->arena, spec->namespace_name);
    refs->items = ARENA_ARRAY(&refs->arena, struct ref, spec->value_count);
    for (size_t i = 0; i < spec->value_count; i++) {
        const struct component_value *value = &spec->values[i];
        if (value->secret_name.len == 0)
            continue;
        refs->items[refs->count++] = (struct ref){
            .use = use_of(value->name, is_state),
            .metadata = arena_dup(&refs->arena, value->name),
            .secret = arena_dup(&refs->arena, value->secret_name),
            .key = arena_dup(&refs->arena, value->secret_key),
        };
    }
    return refs;
}

void
secret_refs_free(struct secret_refs *refs)
{
    if (refs == NULL)
        return;
    arena_fini(&refs->arena);
    free(refs);
}

/* --- asking the store --------------------------------------------------------------------------*/

struct fetch {
    struct component *store;
    struct link_args args;
    struct component_call call;
};

static err_t
attempt(struct task *t, void *arg, struct attempt *outcome)
{
    struct fetch *fetch = arg;
    (void)outcome;                          /* no policy asks */
    component_call_finish(t, &fetch->call); /* of the attempt before */
    return component_call(t, fetch->store, &fetch->args, &fetch->call);
}

static err_t
say(struct task *t, const struct ref *ref, struct slice reason, err_t err,
    struct secret_refs_result *result)
{
    struct arena *arena = task_arena(t);
    result->is_create_error = ref->use != USE_VALUE;
    if (result->is_create_error)
        result->error = arena_printf(arena, KEY_ERROR SLICE_FMT, SLICE_ARG(reason));
    else
        result->error = arena_printf(arena, "failed getting secret " SLICE_FMT ": " SLICE_FMT,
                                     SLICE_ARG(ref->secret), SLICE_ARG(reason));
    return err;
}

static err_t
read_answer(struct task *t, const struct ref *ref, const struct fetch *fetch,
            struct secret *ret_secret, struct secret_refs_result *result)
{
    struct arena *arena = task_arena(t);
    const struct frame_status *status = &fetch->call.bus.call.status;
    bool found = false;
    if (status->code != GRPC_OK)
        return say(t, ref, status->message, ERR_PLUGIN_FAILED, result);
    struct slice message = arena_dup(arena, fetch->call.bus.call.message);
    if (!secret_read_one(arena, message, &found, ret_secret))
        return say(t, ref, SLICE("the secret store's answer is malformed"), ERR_PLUGIN_PROTOCOL,
                   result);
    if (!found)
        return say(t, ref,
                   arena_printf(arena, "secret " SLICE_FMT " not found", SLICE_ARG(ref->secret)),
                   ERR_PLUGIN_FAILED, result);
    return OK;
}

static err_t
fetch_secret(struct task *t, const struct secret_refs *refs, struct component *store,
             const struct ref *ref, struct secret *ret_secret, struct secret_refs_result *result)
{
    const struct secret_pair metadata = { SLICE("namespace"), refs->namespace_ };
    const size_t metadata_count = refs->namespace_.len > 0 ? 1 : 0;
    struct fetch fetch = {
        .store = store,
        .args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_SECRET_GET,
                  .message = secret_pack_request(task_arena(t), &ref->secret, &metadata,
                                                 metadata_count) },
    };
    const struct run run = { .built_in = &built_in_read,
                             .is_replayable = true,
                             .default_ms = LIMIT_call_default_ms };
    err_t err = resiliency_run(t, &run, attempt, &fetch); /* suspends */
    if (err == OK)
        err = read_answer(t, ref, &fetch, ret_secret, result);
    else
        (void)say(t, ref, SLICE("the secret store does not answer"), err, result); /* err is kept */
    component_call_finish(t, &fetch.call);
    return err;
}

/* The value a reference means; its secret may have been fetched for an earlier one. */
static err_t
value_of(struct task *t, const struct ref *ref, const struct secret *secret,
         struct slice *ret_value, struct secret_refs_result *result)
{
    for (size_t i = 0; i < secret->pair_count; i++) {
        if (!slice_eq(secret->pairs[i].name, ref->key))
            continue;
        *ret_value = secret->pairs[i].value;
        if (ref->use != USE_VALUE && ret_value->len == 0)
            return say(t, ref, SLICE("encryption key cannot be empty"), ERR_CONFIG, result);
        return OK;
    }
    return say(t, ref,
               arena_printf(task_arena(t), "secret " SLICE_FMT " has no key " SLICE_FMT,
                            SLICE_ARG(ref->secret), SLICE_ARG(ref->key)),
               ERR_CONFIG, result);
}

static err_t
fetch_values(struct task *t, const struct secret_refs *refs, struct component *store,
             struct slice *values, struct secret_refs_result *result)
{
    struct secret *secrets = ARENA_ARRAY(task_arena(t), struct secret, refs->count);
    err_t err = OK;
    for (size_t i = 0; i < refs->count && err == OK; i++) {
        size_t same = 0;
        while (!slice_eq(refs->items[same].secret, refs->items[i].secret))
            same++;
        if (same < i)
            secrets[i] = secrets[same];
        else
            err = fetch_secret(t, refs, store, &refs->items[i], &secrets[i], result);
        if (err == OK)
            err = value_of(t, &refs->items[i], &secrets[i], &values[i], result);
    }
    return err;
}

/* --- using the answers -------------------------------------------------------------------------*/

/* The message goes on with further items of its list, as protobuf allows. */
static void
append_pair(struct init_request *request, struct slice name, struct slice value)
{
    const size_t pair_len = wire_bytes_len(1, name) + wire_bytes_len(2, value);
    char *longer = malloc(request->len + WIRE_HEAD_MAX + pair_len + 1);
    if (longer == NULL)
        abort();
    memcpy(longer, request->bytes, request->len);
    char *at = wire_put_head(longer + request->len, INIT_METADATA, pair_len);
    at = wire_put_bytes(at, 1, name);
    at = wire_put_bytes(at, 2, value);
    explicit_bzero(request->bytes, request->len);
    free(request->bytes);
    *request = (struct init_request){ .bytes = longer, .len = (size_t)(at - longer) };
}

static err_t
use_values(struct task *t, const struct secret_refs *refs, const struct slice *values,
           struct init_request *request, struct secret_refs_result *result)
{
    struct encryption_key keys[] = {
        [USE_VALUE] = { SLICE_EMPTY, SLICE_EMPTY },
        [USE_PRIMARY_KEY] = { SLICE_EMPTY, SLICE_EMPTY },
        [USE_SECONDARY_KEY] = { SLICE_EMPTY, SLICE_EMPTY },
    };
    for (size_t i = 0; i < refs->count; i++) {
        const struct ref *ref = &refs->items[i];
        if (ref->use == USE_VALUE)
            append_pair(request, ref->metadata, values[i]);
        else
            keys[ref->use] = (struct encryption_key){ ref->secret, values[i] };
    }
    if (keys[USE_PRIMARY_KEY].name.len == 0)
        return OK;
    result->encryption = encryption_new(task_arena(t), keys[USE_PRIMARY_KEY],
                                        keys[USE_SECONDARY_KEY], &result->error);
    result->is_create_error = result->encryption == NULL;
    return result->is_create_error ? ERR_CONFIG : OK;
}

static void
wipe_values(const struct slice *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i].len > 0)
            explicit_bzero((char *)(uintptr_t)values[i].data, values[i].len); /* in our arena */
}

/* --- digests -----------------------------------------------------------------------------------*/

static unsigned char digest_key[32];

static void
make_digest_key(void)
{
    if (RAND_bytes(digest_key, sizeof digest_key) != 1)
        abort();
}

static void
add_to_digest(EVP_MD_CTX *context, const void *bytes, size_t len)
{
    if (EVP_DigestUpdate(context, bytes, len) != 1)
        abort(); /* memory */
}

/* SHA-256 of the key and each value with its length. */
static struct secret_digest
digest_of(const struct slice *values, size_t count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct secret_digest digest;
    (void)pthread_once(&once, make_digest_key); /* which cannot fail */
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        abort();
    add_to_digest(context, digest_key, sizeof digest_key);
    for (size_t i = 0; i < count; i++) {
        uint64_t len = values[i].len;
        add_to_digest(context, &len, sizeof len);
        add_to_digest(context, values[i].data, values[i].len);
    }
    if (EVP_DigestFinal_ex(context, digest.bytes, NULL) != 1)
        abort();
    EVP_MD_CTX_free(context);
    return digest;
}

/* --- asking ------------------------------------------------------------------------------------*/

static struct component_table *
table_here(const struct task *t, const struct routes *routes)
{
    for (unsigned i = 0; i < routes->count; i++)
        if (routes->workers[i] == task_worker(t))
            return routes->tables[i];
    assert(!"a task of another process's worker");
    return NULL;
}

/* `request` NULL: for the digest alone. Values are wiped. */
static err_t
resolve(struct task *t, const struct secret_refs *refs, struct init_request *request,
        struct secret_refs_result *ret_result)
{
    *ret_result = (struct secret_refs_result){ .error = SLICE_EMPTY };
    struct component *store = component_find(table_here(t, refs->routes), COMPONENT_SECRETS,
                                             refs->store);
    if (store == NULL) {
        ret_result->error = arena_printf(task_arena(t), "secret store " SLICE_FMT " isn't loaded",
                                         SLICE_ARG(refs->store));
        return ERR_CONFIG;
    }
    component_ref(store); /* it may be removed while we wait */
    struct slice *values = ARENA_ARRAY(task_arena(t), struct slice, refs->count);
    err_t err = fetch_values(t, refs, store, values, ret_result);
    component_unref(store);
    if (err == OK)
        ret_result->digest = digest_of(values, refs->count);
    if (err == OK && request != NULL)
        err = use_values(t, refs, values, request, ret_result);
    wipe_values(values, refs->count);
    return err;
}

err_t
secret_refs_resolve(struct task *t, const struct secret_refs *refs, struct init_request *request,
                    struct secret_refs_result *ret_result)
{
    return resolve(t, refs, request, ret_result);
}

err_t
secret_refs_look(struct task *t, const struct secret_refs *refs, struct secret_digest *ret_digest)
{
    struct secret_refs_result result;
    err_t err = resolve(t, refs, NULL, &result);
    if (err == OK)
        *ret_digest = result.digest;
    return err;
}

err_t
secret_refs_fetch(struct task *t, const struct secret_refs *refs, struct component *store,
                  struct slice *ret_values, struct slice *ret_error)
{
    struct secret_refs_result result = { .error = SLICE_EMPTY };
    for (size_t i = 0; i < refs->count; i++)
        ret_values[i] = SLICE_EMPTY;
    component_ref(store); /* it may be removed while we wait */
    err_t err = fetch_values(t, refs, store, ret_values, &result); /* suspends */
    component_unref(store);
    if (err == OK)
        return OK;
    wipe_values(ret_values, refs->count);
    *ret_error = result.error;
    return err;
}
