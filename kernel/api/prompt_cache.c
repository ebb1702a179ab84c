/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that may be given again; see prompt_cache.h. */
#include "api/prompt_cache.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"

struct prompt_entry {
    struct list link;
    struct prompt_key key;
    uint64_t expires_ms;
    size_t len;
    char answer[];
};

/* With what the map, its key and the allocator take. */
enum { ENTRY_COST_BYTES = 256 };

static struct slice
key_slice(const struct prompt_key *key)
{
    return slice_of(key->bytes, sizeof key->bytes);
}

/* Lengths go in too: no part can be taken for the end of another. */
static void
digest_part(EVP_MD_CTX *ctx, struct slice part)
{
    const uint64_t len = part.len;
    if (EVP_DigestUpdate(ctx, &len, sizeof len) != 1 ||
        EVP_DigestUpdate(ctx, part.data, part.len) != 1)
        abort();
}

struct prompt_key
prompt_key_of(struct slice component, uint32_t handle, struct slice question)
{
    struct prompt_key key;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
        abort();
    digest_part(ctx, component);
    digest_part(ctx, slice_of(&handle, sizeof handle));
    digest_part(ctx, question);
    if (EVP_DigestFinal_ex(ctx, (unsigned char *)key.bytes, NULL) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    return key;
}

void
prompt_cache_init(struct prompt_cache *cache)
{
    *cache = (struct prompt_cache){ .lock = PTHREAD_MUTEX_INITIALIZER };
    map_init(&cache->by_key);
    list_init(&cache->by_use);
}

static void
drop(struct prompt_cache *cache, struct prompt_entry *entry)
{
    (void)map_remove(&cache->by_key, key_slice(&entry->key)); /* it is this one */
    list_remove(&entry->link);
    cache->bytes -= entry->len + ENTRY_COST_BYTES;
    free(entry);
}

void
prompt_cache_fini(struct prompt_cache *cache)
{
    while (!list_is_empty(&cache->by_use))
        drop(cache, container_of(cache->by_use.next, struct prompt_entry, link));
    map_fini(&cache->by_key);
    (void)pthread_mutex_destroy(&cache->lock); /* nobody is left */
}

bool
prompt_cache_get(struct prompt_cache *cache, const struct prompt_key *key, struct arena *arena,
                 struct slice *ret_answer)
{
    bool is_found = false;
    pthread_mutex_lock(&cache->lock);
    struct prompt_entry *entry = map_get(&cache->by_key, key_slice(key));
    if (entry != NULL && entry->expires_ms <= clock_now_ms()) {
        drop(cache, entry);
    } else if (entry != NULL) {
        list_remove(&entry->link);
        list_append(&cache->by_use, &entry->link);
        *ret_answer = arena_dup(arena, slice_of(entry->answer, entry->len));
        is_found = true;
    }
    pthread_mutex_unlock(&cache->lock);
    return is_found;
}

void
prompt_cache_put(struct prompt_cache *cache, const struct prompt_key *key, uint64_t ttl_ms,
                 struct slice answer)
{
    const uint64_t now_ms = clock_now_ms();
    if (ttl_ms == 0 || answer.len > LIMIT_prompt_answer_bytes_max)
        return;
    struct prompt_entry *entry = malloc(sizeof *entry + answer.len);
    if (entry == NULL)
        abort();
    entry->key = *key;
    entry->expires_ms = ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl_ms;
    entry->len = answer.len;
    memcpy(entry->answer, answer.data, answer.len);
    pthread_mutex_lock(&cache->lock);
    struct prompt_entry *before = map_get(&cache->by_key, key_slice(key));
    if (before != NULL)
        drop(cache, before);
    cache->bytes += answer.len + ENTRY_COST_BYTES;
    (void)map_put(&cache->by_key, key_slice(key), entry); /* there was none */
    list_append(&cache->by_use, &entry->link);
    while (cache->bytes > LIMIT_prompt_cache_bytes_max ||
           cache->by_key.count > LIMIT_prompt_cache_entries_max)
        drop(cache, container_of(cache->by_use.next, struct prompt_entry, link));
    pthread_mutex_unlock(&cache->lock);
}
