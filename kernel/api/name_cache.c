/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of applications; see name_cache.h. */
#include "api/name_cache.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/macros.h"

void
name_cache_init(struct name_cache *cache)
{
    *cache = (struct name_cache){ .count = 0 };
    map_init(&cache->by_id);
    list_init(&cache->used);
}

/* --- entries -----------------------------------------------------------------------------------*/

static void
free_addresses(struct name_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++)
        free(entry->addresses[i].text);
    free(TAKE(entry->addresses));
    entry->count = 0;
}

struct name_entry *
name_entry_ref(struct name_entry *entry)
{
    entry->refs++;
    return entry;
}

void
name_entry_unref(struct name_entry *entry)
{
    assert(entry->refs > 0);
    if (--entry->refs > 0)
        return;
    free_addresses(entry);
    free(entry->unreachable);
    free(entry);
}

static struct name_entry *
entry_new(struct slice app_id, struct slice namespace_)
{
    struct name_entry *entry = calloc(1, sizeof *entry + app_id.len + namespace_.len);
    if (entry == NULL)
        abort();
    char *text = (char *)(entry + 1);
    entry->refs = 1;
    list_init(&entry->waiters);
    entry->app_id = slice_of(text, app_id.len);
    entry->namespace_ = slice_of(text + app_id.len, namespace_.len);
    if (app_id.len > 0)
        memcpy(text, app_id.data, app_id.len);
    if (namespace_.len > 0)
        memcpy(text + app_id.len, namespace_.data, namespace_.len);
    return entry;
}

/* --- the table ---------------------------------------------------------------------------------*/

static void
forget(struct name_cache *cache, struct name_entry *entry)
{
    struct name_entry *first = map_get(&cache->by_id, entry->app_id);
    if (first != entry) {
        while (first->sibling != entry)
            first = first->sibling;
        first->sibling = entry->sibling;
    } else if (entry->sibling != NULL) {
        (void)map_put(&cache->by_id, entry->app_id, entry->sibling); /* itself is replaced */
    } else {
        (void)map_remove(&cache->by_id, entry->app_id); /* itself */
    }
    list_remove(&entry->used);
    cache->count--;
    name_entry_unref(entry);
}

void
name_cache_fini(struct name_cache *cache)
{
    while (!list_is_empty(&cache->used))
        forget(cache, container_of(cache->used.next, struct name_entry, used));
    map_fini(&cache->by_id);
}

struct name_entry *
name_cache_find(struct name_cache *cache, struct slice app_id, struct slice namespace_)
{
    struct name_entry *entry = map_get(&cache->by_id, app_id);
    while (entry != NULL && !slice_eq(entry->namespace_, namespace_))
        entry = entry->sibling;
    if (entry != NULL && entry->used.next != &cache->used) {
        list_remove(&entry->used);
        list_append(&cache->used, &entry->used);
    }
    return entry;
}

/* Makes room by the one that was used longest ago and nobody waits for. */
static bool
has_room(struct name_cache *cache)
{
    if (cache->count < LIMIT_names_max)
        return true;
    for (struct list *node = cache->used.next; node != &cache->used; node = node->next) {
        struct name_entry *entry = container_of(node, struct name_entry, used);
        if (entry->refs > 1)
            continue;
        forget(cache, entry);
        return true;
    }
    return false;
}

struct name_entry *
name_cache_get(struct name_cache *cache, struct slice app_id, struct slice namespace_)
{
    struct name_entry *entry = name_cache_find(cache, app_id, namespace_);
    if (entry != NULL || !has_room(cache))
        return entry;
    entry = entry_new(app_id, namespace_);
    entry->sibling = map_get(&cache->by_id, app_id);
    (void)map_put(&cache->by_id, app_id, entry); /* the others follow behind it */
    list_append(&cache->used, &entry->used);
    cache->count++;
    return entry;
}

/* --- addresses ---------------------------------------------------------------------------------*/

static struct slice
text_of(const struct name_address *address)
{
    return slice_of(address->text, address->len);
}

static struct name_address *
find_address(const struct name_entry *entry, struct slice text)
{
    for (size_t i = 0; i < entry->count; i++)
        if (slice_eq(text_of(&entry->addresses[i]), text))
            return &entry->addresses[i];
    return NULL;
}

/* Most of the time nothing has changed. */
static bool
is_same(const struct name_entry *entry, const struct slice *addresses, size_t count)
{
    bool same = entry->count == count;
    for (size_t i = 0; i < count && same; i++)
        same = slice_eq(text_of(&entry->addresses[i]), addresses[i]);
    return same;
}

void
name_entry_renew(struct name_entry *entry, uint64_t now, uint64_t ttl_ms)
{
    entry->fresh_until = now + (ttl_ms < LIMIT_names_ttl_ms ? ttl_ms : LIMIT_names_ttl_ms);
    entry->stale_until = entry->fresh_until + LIMIT_names_stale_ms;
}

void
name_entry_set(struct name_entry *entry, const struct slice *addresses, size_t count)
{
    if (is_same(entry, addresses, count))
        return;
    struct name_address *list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        const struct name_address *old = find_address(entry, addresses[i]);
        list[i] = (struct name_address){ .text = slice_copy(addresses[i]),
                                         .len = addresses[i].len,
                                         .shunned_until = old == NULL ? 0 : old->shunned_until };
    }
    free_addresses(entry);
    entry->addresses = list;
    entry->count = count;
}

struct slice
name_entry_next(struct name_entry *entry, uint64_t now)
{
    if (entry->count == 0)
        return SLICE_EMPTY;
    for (size_t i = 0; i < entry->count; i++) {
        const struct name_address *address = &entry->addresses[entry->turn++ % entry->count];
        if (address->shunned_until <= now)
            return text_of(address);
    }
    return text_of(&entry->addresses[entry->turn++ % entry->count]);
}

static bool
has_good(const struct name_entry *entry, uint64_t now)
{
    for (size_t i = 0; i < entry->count; i++)
        if (entry->addresses[i].shunned_until <= now)
            return true;
    return false;
}

void
name_cache_shun(struct name_cache *cache, struct slice app_id, struct slice address, uint64_t now)
{
    struct name_entry *entry = map_get(&cache->by_id, app_id);
    for (; entry != NULL; entry = entry->sibling) {
        struct name_address *found = find_address(entry, address);
        if (found == NULL)
            continue; /* another was told since */
        found->shunned_until = now + LIMIT_names_shun_ms;
        entry->fresh_until = 0;
        if (!has_good(entry, now))
            entry->stale_until = 0;
        free(entry->unreachable);
        entry->unreachable = slice_copy(address);
    }
}
