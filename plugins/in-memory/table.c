/* SPDX-License-Identifier: Apache-2.0 */
/* Chained hash table; see table.h. */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_BUCKETS = 256 };

bool
table_init(struct table *table)
{
    *table = (struct table){ .bucket_count = FIRST_BUCKETS };
    table->buckets = calloc(FIRST_BUCKETS, sizeof(struct entry *));
    /* Keys come from outside: without a secret somebody could choose many of one bucket. */
    return table->buckets != NULL &&
           getrandom(&table->seed, sizeof table->seed, 0) == sizeof table->seed;
}

bool
table_fini_some(struct table *table, size_t entries)
{
    for (; table->oldest != NULL && entries > 0; entries--) {
        struct entry *entry = table->oldest;
        table->oldest = entry->newer;
        entry_drop(entry);
    }
    if (table->oldest != NULL)
        return false;
    free(table->buckets);
    *table = (struct table){ 0 };
    return true;
}

void
table_fini(struct table *table)
{
    (void)table_fini_some(table, SIZE_MAX); /* that is all */
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
    const __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold, eight bytes at a time. */
static uint64_t
hash_of(const struct table *table, struct remora_slice key)
{
    uint64_t hash = table->seed ^ key.len;
    const char *at = key.data;
    size_t left = key.len;
    while (left > 0) {
        uint64_t word = 0;
        const size_t take = left < sizeof word ? left : sizeof word;
        memcpy(&word, at, take);
        hash = mix(hash ^ word ^ 0x9E3779B97F4A7C15u, table->seed | 1);
        at += take;
        left -= take;
    }
    return mix(hash, 0xD6E8FEB86659FD93u);
}

static struct entry *
entry_make(const struct table *table, struct remora_slice key, struct remora_bytes value,
           int64_t expires_unix_ms)
{
    const bool is_kept = value.release != NULL;
    struct entry *entry = malloc(sizeof *entry + key.len + (is_kept ? 0 : value.len));
    if (entry == NULL) {
        if (is_kept)
            value.release(value.arg);
        return NULL;
    }
    *entry = (struct entry){ .hash = hash_of(table, key),
                             .users = 1,
                             .expires_unix_ms = expires_unix_ms };
    entry->key = (struct remora_slice){ entry->bytes, key.len };
    if (key.len > 0)
        memcpy(entry->bytes, key.data, key.len);
    if (is_kept) {
        entry->kept = value;
        entry->value = (struct remora_slice){ value.data, value.len };
        return entry;
    }
    entry->value = (struct remora_slice){ entry->bytes + key.len, value.len };
    if (value.len > 0)
        memcpy(entry->bytes + key.len, value.data, value.len);
    return entry;
}

void
entry_drop(struct entry *entry)
{
    if (entry == NULL || --entry->users > 0)
        return;
    if (entry->kept.release != NULL)
        entry->kept.release(entry->kept.arg);
    free(entry);
}

struct entry *
entry_new(const struct table *table, struct remora_slice key, struct remora_bytes value,
          int64_t expires_unix_ms)
{
    struct entry *entry = entry_make(table, key, value, expires_unix_ms);
    if (entry != NULL)
        remora_uuid(entry->etag);
    return entry;
}

struct entry *
entry_restore(const struct table *table, struct remora_slice key, struct remora_slice value,
              int64_t expires_unix_ms, const char etag[37])
{
    const struct remora_bytes copied = { .data = value.data, .len = value.len };
    struct entry *entry = entry_make(table, key, copied, expires_unix_ms);
    if (entry != NULL)
        memcpy(entry->etag, etag, sizeof entry->etag);
    return entry;
}

/* --- the order of changes ----------------------------------------------------------------------*/

static void
append_change(struct table *table, struct entry *entry)
{
    entry->change = ++table->last_change;
    entry->older = table->newest;
    entry->newer = NULL;
    if (table->newest != NULL)
        table->newest->newer = entry;
    else
        table->oldest = entry;
    table->newest = entry;
    if (table->export_next == NULL)
        table->export_next = entry;
}

static void
unlink_change(struct table *table, struct entry *entry)
{
    if (table->export_next == entry)
        table->export_next = entry->newer;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        table->oldest = entry->newer;
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        table->newest = entry->older;
}

/* --- the table ---------------------------------------------------------------------------------*/

/* Where the pointer to the entry of that key is, or would be. */
static struct entry **
find(const struct table *table, uint64_t hash, struct remora_slice key)
{
    struct entry **at = &table->buckets[hash & (table->bucket_count - 1)];
    while (*at != NULL && ((*at)->hash != hash || (*at)->key.len != key.len ||
                           memcmp((*at)->bytes, key.data, key.len) != 0))
        at = &(*at)->next;
    return at;
}

static bool
has_expired(const struct entry *entry, int64_t now_ms)
{
    return entry->expires_unix_ms != 0 && entry->expires_unix_ms <= now_ms;
}

static struct entry *
take_at(struct table *table, struct entry **at)
{
    struct entry *entry = *at;
    *at = entry->next;
    table->count--;
    if (entry->expires_unix_ms != 0)
        table->expiring--;
    unlink_change(table, entry);
    return entry;
}

/* Nothing to remember: it has expired, which a successor sees for itself, or is replaced. */
static void
remove_at(struct table *table, struct entry **at)
{
    entry_drop(take_at(table, at));
}

/* Somebody wants it gone. */
static void
delete_at(struct table *table, struct entry **at)
{
    struct entry *entry = take_at(table, at);
    if (!table->is_exporting) {
        entry_drop(entry);
        return;
    }
    /* Without its value, if there is memory for that. */
    struct entry *small = entry_restore(table, entry->key, (struct remora_slice){ "", 0 },
                                        entry->expires_unix_ms, entry->etag);
    if (small != NULL) {
        entry_drop(entry);
        entry = small;
    }
    entry->value.len = 0;
    entry->is_deleted = true;
    append_change(table, entry);
}

struct entry *
table_get(struct table *table, struct remora_slice key, int64_t now_ms)
{
    struct entry **at = find(table, hash_of(table, key), key);
    if (*at == NULL || !has_expired(*at, now_ms))
        return *at;
    remove_at(table, at);
    return NULL;
}

/* Without memory for more buckets the old ones do: slower, but nothing is lost. */
static void
grow(struct table *table)
{
    const size_t bucket_count = table->bucket_count * 2;
    struct entry **buckets = calloc(bucket_count, sizeof(struct entry *));
    if (buckets == NULL)
        return;
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct entry *entry = table->buckets[i], *next;
        for (; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (bucket_count - 1)];
            buckets[entry->hash & (bucket_count - 1)] = entry;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = bucket_count;
}

void
table_put(struct table *table, struct entry *entry)
{
    struct entry **at = find(table, entry->hash, entry->key);
    if (*at != NULL)
        remove_at(table, at);
    entry->next = *at;
    *at = entry;
    append_change(table, entry);
    table->count++;
    if (entry->expires_unix_ms != 0)
        table->expiring++;
    if (table->count > table->bucket_count)
        grow(table);
}

void
table_remove(struct table *table, struct remora_slice key)
{
    struct entry **at = find(table, hash_of(table, key), key);
    if (*at != NULL)
        delete_at(table, at);
}

static void
scan_bucket(struct table *table, size_t bucket, int64_t now_ms,
            bool (*visit)(const struct entry *entry, void *arg), void *arg)
{
    struct entry **at = &table->buckets[bucket];
    while (*at != NULL) {
        if (has_expired(*at, now_ms))
            remove_at(table, at);
        else if (visit != NULL && visit(*at, arg))
            delete_at(table, at);
        else
            at = &(*at)->next;
    }
}

void
table_scan(struct table *table, int64_t now_ms, bool (*visit)(const struct entry *entry, void *arg),
           void *arg)
{
    for (size_t i = 0; i < table->bucket_count; i++)
        scan_bucket(table, i, now_ms, visit, arg);
}

void
table_sweep(struct table *table, int64_t now_ms, size_t buckets)
{
    for (; buckets > 0 && table->expiring > 0; buckets--) {
        table->sweep_at = (table->sweep_at + 1) & (table->bucket_count - 1);
        scan_bucket(table, table->sweep_at, now_ms, NULL, NULL);
    }
}

/* --- export ------------------------------------------------------------------------------------*/

bool
table_export(struct table *table, uint64_t cursor)
{
    if (cursor == 0) {
        table_export_end(table);
        table->is_exporting = true;
        table->export_next = table->oldest;
        table->export_cursor = 0;
    }
    return table->is_exporting && cursor == table->export_cursor;
}

void
table_export_step(struct table *table)
{
    struct entry *entry = table->export_next;
    table->export_cursor = entry->change;
    table->export_next = entry->newer;
    if (!entry->is_deleted)
        return;
    unlink_change(table, entry); /* its only use */
    entry_drop(entry);
}

void
table_export_end(struct table *table)
{
    struct entry *entry = table->is_exporting ? table->export_next : NULL, *newer;
    for (; entry != NULL; entry = newer) {
        newer = entry->newer;
        if (!entry->is_deleted)
            continue;
        unlink_change(table, entry);
        entry_drop(entry);
    }
    table->is_exporting = false;
}
