/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of values with ETag and expiry, as one component has it. An entry never changes: a
 * new value is a new entry in its place, so that a transaction can prepare all entries first and
 * then put them in without failing.
 *
 * Changes are numbered, and entries stand in the order of their last one, so that a successor can
 * be given everything first and what has changed since afterwards. A deletion leaves its entry in
 * that order while an export is under way; at other times nothing is left.
 *
 * An entry is counted by who uses it: the table, and each reply that is sending its value.
 */
#ifndef IN_MEMORY_TABLE_H
#define IN_MEMORY_TABLE_H

#include <remora_plugin.h>

struct entry {
    struct entry *next;          /* in its bucket */
    struct entry *older, *newer; /* among all, by change */
    uint64_t hash;
    uint64_t change;
    int64_t expires_unix_ms; /* 0: never */
    char etag[37];
    bool is_deleted; /* in no bucket: remembered for a successor, without its value */
    unsigned users;
    struct remora_slice key;   /* in `bytes` */
    struct remora_slice value; /* there too, or in `kept` */
    struct remora_bytes kept;  /* release NULL: not used */
    char bytes[];
};

struct table {
    struct entry **buckets; /* owned, with the entries */
    size_t bucket_count;    /* a power of two */
    size_t count;
    size_t expiring; /* entries put that expire one day: zero means there is nothing to sweep */
    size_t sweep_at;
    uint64_t seed;
    struct entry *oldest, *newest; /* by change, deleted ones included */
    uint64_t last_change;
    struct entry *export_next; /* the first that an export under way has not given out */
    uint64_t export_cursor;    /* the last change that it has given out */
    bool is_exporting;
};

/* False if memory is out, as all that is bool here. */
bool table_init(struct table *table);
void table_fini(struct table *table);
/* The same, in several calls: frees at most so many entries, and returns true when it is done. */
bool table_fini_some(struct table *table, size_t entries);

/* With a fresh ETag; NULL if memory is out. Not in the table yet. A value with a release function
 * is kept where it is, and released with the entry, or at once if there will be none. */
struct entry *entry_new(const struct table *table, struct remora_slice key,
                        struct remora_bytes value, int64_t expires_unix_ms);
/* One user less; NULL is nobody's. */
void entry_drop(struct entry *entry);

/* With the ETag it had elsewhere. */
struct entry *
entry_restore(const struct table *table, struct remora_slice key, struct remora_slice value,
              int64_t expires_unix_ms, const char etag[37]);

/* NULL if there is none or it has expired. */
struct entry *table_get(struct table *table, struct remora_slice key, int64_t now_ms);
/* Owns the entry from now on; replaces the one of the same key. Cannot fail. */
void table_put(struct table *table, struct entry *entry);
void table_remove(struct table *table, struct remora_slice key);

/* Every living entry, in no order: visit() returns true to have it removed. */
void table_scan(struct table *table, int64_t now_ms,
                bool (*visit)(const struct entry *entry, void *arg), void *arg);
/* Removes what has expired from the next `buckets` buckets. */
void table_sweep(struct table *table, int64_t now_ms, size_t buckets);

/* Sets export_next to the first change after `cursor`; 0 begins an export. False if the cursor is
 * not where the export under way stands: what was deleted since then is not known any more. */
bool table_export(struct table *table, uint64_t cursor);
/* export_next was given out. */
void table_export_step(struct table *table);
/* Nobody asks any more. */
void table_export_end(struct table *table);

#endif
