/* SPDX-License-Identifier: Apache-2.0 */
/* Values that were read and not subscribed yet; see configuration_seen.h. */
#include "api/configuration_seen.h"

#include <pthread.h>

#include "base/limits.h"
#include "base/map.h"

enum { FINGERPRINT_UNSURE = 1 }; /* different ones have been given */

static struct {
    pthread_mutex_t lock;
    struct map given; /* store, NUL, key → fingerprint */
    bool has_forgotten;
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- fingerprints ------------------------------------------------------------------------------*/

/* FNV-1a, with the length first so that neighbours do not run into each other. */
static uint64_t
mix(uint64_t hash, struct slice text)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    for (size_t len = text.len, i = 0; i < sizeof len; i++)
        hash = (hash ^ (len >> (i * 8) & 0xff)) * prime;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * prime;
    return hash;
}

/* The order of the metadata does not count. */
uint64_t
configuration_fingerprint(const struct configuration_item *item)
{
    const uint64_t basis = UINT64_C(0xcbf29ce484222325);
    uint64_t hash = mix(mix(basis, item->value), item->version);
    for (size_t i = 0; i < item->metadata_count; i++)
        hash += mix(mix(basis, item->metadata[i].name), item->metadata[i].value);
    return hash | 2; /* apart from 0 and FINGERPRINT_UNSURE */
}

uint64_t
configuration_fingerprint_absent(void)
{
    return configuration_fingerprint(&(struct configuration_item){
        .key = SLICE_EMPTY, .value = SLICE_EMPTY, .version = SLICE_EMPTY });
}

/* --- what was given ----------------------------------------------------------------------------*/

static struct slice
name_of(struct arena *arena, struct slice store, struct slice key)
{
    char *text = arena_alloc(arena, store.len + 1 + key.len);
    memcpy(text, store.data, store.len);
    text[store.len] = '\0';
    if (key.len > 0)
        memcpy(text + store.len + 1, key.data, key.len);
    return slice_of(text, store.len + 1 + key.len);
}

/* A map's value is a pointer: this one is a number. */
static void *
as_value(uint64_t fingerprint)
{
    return (void *)(uintptr_t)fingerprint; /* NOLINT(performance-no-int-to-ptr) */
}

static void
put(struct slice name, uint64_t fingerprint)
{
    void *before = map_get(&seen.given, name);
    if (before == NULL && seen.given.count >= LIMIT_configuration_seen_max) {
        seen.has_forgotten = true;
        return;
    }
    bool is_other = before != NULL && before != as_value(fingerprint);
    (void)map_put(&seen.given, name, as_value(is_other ? FINGERPRINT_UNSURE : fingerprint));
}

void
configuration_seen_note(struct slice store, const struct configuration_query *query,
                        const struct configuration_item *items, size_t count)
{
    struct arena scratch;
    arena_init(&scratch);
    (void)pthread_mutex_lock(&seen.lock);
    for (size_t i = 0; i < count; i++)
        put(name_of(&scratch, store, items[i].key), configuration_fingerprint(&items[i]));
    for (size_t i = 0; i < query->key_count; i++) {
        size_t at = 0; /* the items are in order, the keys of a request need not be */
        for (size_t end = count; at < end;) {
            size_t middle = at + (end - at) / 2;
            if (slice_cmp(items[middle].key, query->keys[i]) < 0)
                at = middle + 1;
            else
                end = middle;
        }
        if (at == count || !slice_eq(items[at].key, query->keys[i]))
            put(name_of(&scratch, store, query->keys[i]), configuration_fingerprint_absent());
    }
    (void)pthread_mutex_unlock(&seen.lock);
    arena_fini(&scratch);
}

bool
configuration_seen_other(struct slice store, struct slice key, uint64_t fingerprint)
{
    struct arena scratch;
    arena_init(&scratch);
    (void)pthread_mutex_lock(&seen.lock);
    const void *given = map_remove(&seen.given, name_of(&scratch, store, key));
    bool has_forgotten = seen.has_forgotten;
    if (seen.given.count == 0) { /* nothing is left behind at the end of the process */
        map_fini(&seen.given);
        map_init(&seen.given);
    }
    (void)pthread_mutex_unlock(&seen.lock);
    arena_fini(&scratch);
    return given == NULL ? has_forgotten : given != as_value(fingerprint);
}
