/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of values with ETag and expiry, as one component has it. An entry never changes: a
 * new value is a new entry in its place, so that a transaction can prepare all entries first and
 * then put them in without failing.
 */
#ifndef IN_MEMORY_TABLE_H
#define IN_MEMORY_TABLE_H

#include <remora_plugin.h>

struct entry {
    struct entry *next; /* in its bucket */
    uint64_t hash;
    int64_t expires_unix_ms; /* 0: never */
    char etag[37];
    struct remora_slice key; /* both in `bytes` */
    struct remora_slice value;
    char bytes[];
};

struct table {
    struct entry **buckets; /* owned, with the entries */
    size_t bucket_count;    /* a power of two */
    size_t count;
    size_t expiring; /* entries put that expire one day: zero means there is nothing to sweep */
    size_t sweep_at;
    uint64_t seed;
};

/* False if memory is out, as all that is bool here. */
bool table_init(struct table *table);
void table_fini(struct table *table);

/* With a fresh ETag; NULL if memory is out. Not in the table yet. */
struct entry *entry_new(const struct table *table, struct remora_slice key,
                        struct remora_slice value, int64_t expires_unix_ms);

/* NULL if there is none or it has expired. */
const struct entry *table_get(struct table *table, struct remora_slice key, int64_t now_ms);
/* Owns the entry from now on; replaces the one of the same key. Cannot fail. */
void table_put(struct table *table, struct entry *entry);
void table_remove(struct table *table, struct remora_slice key);

/* Every living entry, in no order: visit() returns true to have it removed. */
void table_scan(struct table *table, int64_t now_ms,
                bool (*visit)(const struct entry *entry, void *arg), void *arg);
/* Removes what has expired from the next `buckets` buckets. */
void table_sweep(struct table *table, int64_t now_ms, size_t buckets);

#endif
