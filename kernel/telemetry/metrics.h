/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting. metrics.def has all there is to count. Every thread that counts has a shard of its own,
 * which it alone writes: a record is a look-up in a small hash table and three additions, without a
 * lock. Whoever writes the exposition reads all shards meanwhile; single numbers are atomic, so a
 * sum may be a moment older than its neighbour, never torn.
 *
 *     metrics_attach(metrics, shard);                              // once a thread
 *     struct metric_series *s = metrics_series(METRICS_http_server, labels);
 *     metrics_record(s, clock_now_ns() - started_ns);              // NULL is nothing
 *
 * Without metrics (and on a thread without a shard) nothing is found and nothing recorded. The
 * number of label sets of a shard is bounded: what is beyond counts under a set of its group whose
 * labels all say "overflow".
 */
#ifndef TELEMETRY_METRICS_H
#define TELEMETRY_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum { METRIC_LABELS_MAX = 6, METRIC_BOUNDS_MAX = 64 };

enum metric_group {
#define GROUP(name, buckets, has_app_id, ...) METRICS_##name,
#define FAMILY(name, type, group, help)
#include "telemetry/metrics.def"
#undef GROUP
#undef FAMILY
    METRIC_GROUPS
};

enum metric_family {
#define GROUP(name, buckets, has_app_id, ...)
#define FAMILY(name, type, group, help) FAMILY_##name,
#include "telemetry/metrics.def"
#undef GROUP
#undef FAMILY
    METRIC_FAMILIES
};

enum metric_buckets { BUCKETS_NONE, BUCKETS_LATENCY_MS, BUCKETS_BYTES, BUCKETS_MICROS, BUCKETS };
enum metric_type { TYPE_COUNTER, TYPE_HISTOGRAM, TYPE_SAMPLED_COUNTER, TYPE_GAUGE };

struct metric_group_info {
    const char *name;
    enum metric_buckets buckets;
    bool has_app_id;
    size_t label_count;
    const char *labels[METRIC_LABELS_MAX];
};

struct metric_family_info {
    const char *name;
    enum metric_type type;
    enum metric_group group;
    const char *help;
};

extern const struct metric_group_info metric_groups[METRIC_GROUPS];
extern const struct metric_family_info metric_families[METRIC_FAMILIES];

/* Upper ends of buckets, ascending. Records are compared with bound * unit; sums are divided by
 * unit. */
struct metric_bounds {
    size_t count;
    uint64_t unit; /* 1,000,000 ns in a millisecond, 1 byte in a byte, … */
    uint64_t items[METRIC_BOUNDS_MAX];
};

/* One label set of one shard. Written by its thread only, read by any. */
struct metric_series {
    struct metric_series *next; /* of its group, older; constant once published */
    uint64_t hash;
    enum metric_group group;
    const struct metric_bounds *bounds; /* NULL: records are only counted */
    struct slice labels[METRIC_LABELS_MAX];
    _Atomic uint64_t sum;
    _Atomic uint64_t counts[]; /* a bucket each, and one for what is beyond; without bounds one */
};

struct metrics;

struct metrics_config {
    struct slice app_id;        /* borrowed for life */
    unsigned shard_count;       /* threads that count */
    const uint64_t *latency_ms; /* bounds of LATENCY_MS, ascending; NULL: the default */
    size_t latency_count;       /* at most METRIC_BOUNDS_MAX */
};

/* One reference. */
struct metrics *metrics_new(const struct metrics_config *config);
/* Any thread; returns metrics. */
struct metrics *metrics_ref(struct metrics *metrics);
/* Any thread; NULL is nothing. With the last reference no thread counts any more. */
void metrics_unref(struct metrics *metrics);
struct slice metrics_app_id(const struct metrics *metrics);

/* This thread counts in that shard from now on; NULL: nowhere. */
void metrics_attach(struct metrics *metrics, unsigned shard);

/* As many labels as the group has, borrowed for the call. NULL if this thread does not count. */
struct metric_series *metrics_series(enum metric_group group, const struct slice *labels);
/* Of a group without labels; faster. */
struct metric_series *metrics_single(enum metric_group group);
/* `value` in the unit's parts: nanoseconds for times, bytes for sizes, anything without buckets. */
void metrics_record(struct metric_series *series, uint64_t value);
/* Whether this thread counts: clocks need not be read otherwise. */
bool metrics_is_on(void);

/* Newest series of a group in one shard; any thread. */
const struct metric_series *
metrics_first(const struct metrics *metrics, unsigned shard, enum metric_group group);
unsigned metrics_shards(const struct metrics *metrics);
const struct metric_bounds *metrics_bounds(const struct metrics *metrics, enum metric_group group);

#endif
