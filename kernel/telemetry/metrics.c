/* SPDX-License-Identifier: Apache-2.0 */
/* Shards and their series; see metrics.h. */
#include "telemetry/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"

#define NAMES(...) ((const char *const[]){ __VA_ARGS__ })

const struct metric_group_info metric_groups[METRIC_GROUPS] = {
#define GROUP(group, bounds, with_app_id, ...)                                                     \
    [METRICS_##group] = { .name = #group,                                                          \
                          .buckets = BUCKETS_##bounds,                                             \
                          .has_app_id = with_app_id,                                               \
                          .label_count = ARRAY_LEN(NAMES(__VA_ARGS__)),                            \
                          .labels = { __VA_ARGS__ } },
#define FAMILY(family, type, group, help)
#include "telemetry/metrics.def"
#undef GROUP
#undef FAMILY
};

const struct metric_family_info metric_families[METRIC_FAMILIES] = {
#define GROUP(group, bounds, with_app_id, ...)
#define FAMILY(family, family_type, family_group, text)                                            \
    [FAMILY_##family] = { .name = #family,                                                         \
                          .type = TYPE_##family_type,                                              \
                          .group = METRICS_##family_group,                                         \
                          .help = (text) },
#include "telemetry/metrics.def"
#undef GROUP
#undef FAMILY
};

static const struct metric_bounds standard[BUCKETS] = {
    [BUCKETS_LATENCY_MS] = { .count = 34,
                             .unit = 1000000,
                             .items = { 1,    2,    3,    4,     5,     6,     8,     10,  13,
                                        16,   20,   25,   30,    40,    50,    65,    80,  100,
                                        130,  160,  200,  250,   300,   400,   500,   650, 800,
                                        1000, 2000, 5000, 10000, 20000, 50000, 100000 } },
    [BUCKETS_BYTES] = { .count = 13,
                        .unit = 1,
                        .items = { 1024, 2048, 4096, 16384, 65536, 262144, 1048576, 4194304,
                                   16777216, 67108864, 268435456, 1073741824, 4294967296 } },
    [BUCKETS_MICROS] = { .count = 22,
                         .unit = 1000,
                         .items = { 5,     10,     20,     30,     50,      75,     100,   150,
                                    200,   300,    500,    1000,   2000,    5000,   10000, 20000,
                                    50000, 100000, 200000, 500000, 1000000, 5000000 } },
};

enum { RECENT = 64 };

struct shard {
    /* Newest first. Written with release by the shard's thread; acquire by readers, so that they
     * see what they follow. */
    _Atomic(struct metric_series *) first[METRIC_GROUPS];
    /* The rest belongs to the shard's thread. */
    struct metric_series *single[METRIC_GROUPS];
    struct metric_series *overflow[METRIC_GROUPS];
    struct metric_series *recent[RECENT]; /* by the ends of labels: most look-ups end here */
    struct metric_series **slots;         /* open addressing, a power of two */
    size_t capacity;
    size_t count;
};

struct metrics {
    atomic_uint refs;
    struct slice app_id;
    unsigned shard_count;
    struct metric_bounds latency;
    uint64_t seed;
    struct shard shards[];
};

static __thread struct metrics *attached;
static __thread struct shard *here;

/* --- life --------------------------------------------------------------------------------------*/

struct metrics *
metrics_new(const struct metrics_config *config)
{
    struct metrics *metrics = calloc(1, sizeof *metrics +
                                            config->shard_count * sizeof metrics->shards[0]);
    if (metrics == NULL)
        abort();
    atomic_init(&metrics->refs, 1);
    metrics->app_id = config->app_id;
    metrics->shard_count = config->shard_count;
    if (getrandom(&metrics->seed, sizeof metrics->seed, GRND_NONBLOCK) < 0)
        metrics->seed = clock_now_ns(); /* early in the life of a machine */
    metrics->latency = standard[BUCKETS_LATENCY_MS];
    if (config->latency_ms != NULL) {
        assert(config->latency_count <= METRIC_BOUNDS_MAX);
        metrics->latency.count = config->latency_count;
        for (size_t i = 0; i < config->latency_count; i++)
            metrics->latency.items[i] = config->latency_ms[i];
    }
    return metrics;
}

struct metrics *
metrics_ref(struct metrics *metrics)
{
    /* Relaxed: who counts has a reference already. */
    atomic_fetch_add_explicit(&metrics->refs, 1, memory_order_relaxed);
    return metrics;
}

void
metrics_unref(struct metrics *metrics)
{
    /* Release what this thread counted, acquire what the others did, then free. */
    if (metrics == NULL || atomic_fetch_sub_explicit(&metrics->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < metrics->shard_count; i++) {
        for (size_t group = 0; group < METRIC_GROUPS; group++) {
            struct metric_series *series = atomic_load_explicit(&metrics->shards[i].first[group],
                                                                memory_order_relaxed);
            while (series != NULL) {
                struct metric_series *next = series->next;
                free(series);
                series = next;
            }
        }
        free(metrics->shards[i].slots);
    }
    free(metrics);
}

void
metrics_attach(struct metrics *metrics, unsigned shard)
{
    assert(metrics == NULL || shard < metrics->shard_count);
    attached = metrics;
    here = metrics == NULL ? NULL : &metrics->shards[shard];
}

bool
metrics_is_on(void)
{
    return here != NULL;
}

/* --- finding and making series -----------------------------------------------------------------*/

static uint64_t
mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 32);
}

static uint64_t
load(const char *from, size_t bytes)
{
    uint64_t word = 0;
    uint32_t half;
    if (bytes == sizeof word) {
        memcpy(&word, from, sizeof word);
    } else {
        memcpy(&half, from, sizeof half);
        word = half;
    }
    return word;
}

/* Both ends of a text, which may overlap, and its length: all of a text up to 16 bytes. */
static uint64_t
ends_of(struct slice s)
{
    uint64_t word = (uint64_t)s.len << 56;
    if (s.len >= 8)
        return word ^ load(s.data, 8) ^ (load(s.data + s.len - 8, 8) * 31);
    if (s.len >= 4)
        return word ^ load(s.data, 4) ^ (load(s.data + s.len - 4, 4) << 24);
    if (s.len > 0)
        word ^= (uint64_t)(unsigned char)s.data[0] |
                ((uint64_t)(unsigned char)s.data[s.len / 2] << 8) |
                ((uint64_t)(unsigned char)s.data[s.len - 1] << 16);
    return word;
}

/* Seeded: clients choose paths, and must not choose which of them collide. */
static uint64_t
hash_of(uint64_t seed, enum metric_group group, const struct slice *labels, size_t count)
{
    uint64_t hash = mix(seed, (uint64_t)group);
    for (size_t i = 0; i < count; i++) {
        struct slice s = labels[i];
        for (size_t at = 0; at + 8 < s.len; at += 8)
            hash = mix(hash, load(s.data + at, 8));
        hash = mix(hash, ends_of(s));
    }
    return hash;
}

static bool
is_it(const struct metric_series *series, enum metric_group group, const struct slice *labels,
      size_t count)
{
    if (series->group != group)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!slice_eq(series->labels[i], labels[i]))
            return false;
    return true;
}

static struct metric_series *
find(const struct shard *shard, uint64_t hash, enum metric_group group, const struct slice *labels,
     size_t count)
{
    if (shard->capacity == 0)
        return NULL;
    for (size_t at = hash & (shard->capacity - 1);; at = (at + 1) & (shard->capacity - 1)) {
        struct metric_series *series = shard->slots[at];
        if (series == NULL || (series->hash == hash && is_it(series, group, labels, count)))
            return series;
    }
}

static void
insert(struct metric_series **slots, size_t capacity, struct metric_series *series)
{
    size_t at = series->hash & (capacity - 1);
    while (slots[at] != NULL)
        at = (at + 1) & (capacity - 1);
    slots[at] = series;
}

static void
make_room(struct shard *shard)
{
    enum { FIRST_CAPACITY = 64 };
    if ((shard->count + 1) * 2 <= shard->capacity)
        return;
    size_t capacity = shard->capacity == 0 ? FIRST_CAPACITY : shard->capacity * 2;
    struct metric_series **slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        abort();
    for (size_t i = 0; i < shard->capacity; i++)
        if (shard->slots[i] != NULL)
            insert(slots, capacity, shard->slots[i]);
    free(shard->slots);
    shard->slots = slots;
    shard->capacity = capacity;
}

const struct metric_bounds *
metrics_bounds(const struct metrics *metrics, enum metric_group group)
{
    enum metric_buckets buckets = metric_groups[group].buckets;
    if (buckets == BUCKETS_LATENCY_MS)
        return &metrics->latency;
    return buckets == BUCKETS_NONE ? NULL : &standard[buckets];
}

/* One block: the series, its counts, the text of its labels. Published at once. */
static struct metric_series *
series_new(enum metric_group group, const struct slice *labels)
{
    const struct metric_bounds *bounds = metrics_bounds(attached, group);
    size_t count = metric_groups[group].label_count;
    size_t counts = bounds == NULL ? 1 : bounds->count + 1, text_bytes = 0;
    for (size_t i = 0; i < count; i++)
        text_bytes += labels[i].len;
    struct metric_series *series = calloc(1, sizeof *series + counts * sizeof series->counts[0] +
                                                 text_bytes);
    if (series == NULL)
        abort();
    series->group = group;
    series->bounds = bounds;
    char *text = (char *)series + sizeof *series + counts * sizeof series->counts[0];
    for (size_t i = 0; i < count; i++) {
        if (labels[i].len > 0)
            memcpy(text, labels[i].data, labels[i].len);
        series->labels[i] = slice_of(text, labels[i].len);
        text += labels[i].len;
    }
    series->next = atomic_load_explicit(&here->first[group], memory_order_relaxed);
    atomic_store_explicit(&here->first[group], series, memory_order_release);
    return series;
}

static struct metric_series *
overflow(enum metric_group group)
{
    if (here->overflow[group] == NULL) {
        struct slice labels[METRIC_LABELS_MAX];
        for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
            labels[i] = SLICE("overflow");
        here->overflow[group] = series_new(group, labels);
    }
    return here->overflow[group];
}

static struct metric_series *
find_or_make(enum metric_group group, const struct slice *labels, size_t count)
{
    uint64_t hash = hash_of(attached->seed, group, labels, count);
    struct metric_series *series = find(here, hash, group, labels, count);
    if (series != NULL)
        return series;
    if (here->count >= LIMIT_metric_series_max)
        return overflow(group);
    make_room(here);
    series = series_new(group, labels);
    series->hash = hash;
    insert(here->slots, here->capacity, series);
    here->count++;
    return series;
}

struct metric_series *
metrics_series(enum metric_group group, const struct slice *labels)
{
    struct shard *shard = here;
    if (shard == NULL)
        return NULL;
    struct slice cut[METRIC_LABELS_MAX] = { 0 };
    size_t count = metric_groups[group].label_count;
    uint64_t ends = (uint64_t)group;
    for (size_t i = 0; i < count; i++) {
        cut[i] = slice_first(labels[i], LIMIT_metric_label_bytes_max);
        ends = mix(ends, ends_of(cut[i]));
    }
    struct metric_series **recent = &shard->recent[ends % RECENT];
    if (*recent == NULL || !is_it(*recent, group, cut, count))
        *recent = find_or_make(group, cut, count);
    return *recent;
}

struct metric_series *
metrics_single(enum metric_group group)
{
    if (here == NULL)
        return NULL;
    static const struct slice no_labels[METRIC_LABELS_MAX];
    if (here->single[group] == NULL)
        here->single[group] = series_new(group, no_labels);
    return here->single[group];
}

/* --- counting ----------------------------------------------------------------------------------*/

/* There is one writer, so no locked instruction is needed. Relaxed: each number is read for itself.
 */
static void
add(_Atomic uint64_t *to, uint64_t value)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

void
metrics_record(struct metric_series *series, uint64_t value)
{
    if (series == NULL)
        return;
    size_t at = 0;
    if (series->bounds != NULL) {
        const struct metric_bounds *bounds = series->bounds;
        while (at < bounds->count && value > bounds->items[at] * bounds->unit)
            at++;
        add(&series->sum, value);
    }
    add(&series->counts[at], 1);
}

/* --- reading -----------------------------------------------------------------------------------*/

struct slice
metrics_app_id(const struct metrics *metrics)
{
    return metrics->app_id;
}

unsigned
metrics_shards(const struct metrics *metrics)
{
    return metrics->shard_count;
}

const struct metric_series *
metrics_first(const struct metrics *metrics, unsigned shard, enum metric_group group)
{
    /* Acquire, for the release of series_new(). */
    return atomic_load_explicit(&metrics->shards[shard].first[group], memory_order_acquire);
}
