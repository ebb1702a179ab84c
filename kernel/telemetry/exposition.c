/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus text from shards; see exposition.h. Shards go on counting meanwhile: what a line says
 * is true of some moment between the begin and the end. A histogram's count is the sum of its
 * buckets as read here, so its lines always agree with each other.
 */
#include "telemetry/exposition.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "telemetry/number.h"

enum { LINE_BYTES_MAX = 32 * 1024 };

/* The series of a group, those with equal labels side by side. */
struct sorted {
    bool is_ready;
    const struct metric_series **items;
    size_t count;
};

struct writer {
    const struct metrics *metrics;
    const struct metric_samples *samples;
    struct arena *scratch;
    struct sorted groups[METRIC_GROUPS];
    struct buf out;
    exposition_put_fn *put;
    void *arg;
    err_t err;
};

void
metric_samples_add(struct metric_samples *samples, enum metric_family family, struct slice label,
                   double value)
{
    metric_samples_add_all(samples, family, (const struct slice[METRIC_LABELS_MAX]){ label },
                           value);
}

void
metric_samples_add_all(struct metric_samples *samples, enum metric_family family,
                       const struct slice labels[METRIC_LABELS_MAX], double value)
{
    if (samples->count == samples->capacity) {
        size_t capacity = samples->capacity == 0 ? 64 : samples->capacity * 2;
        samples->items = arena_grow(samples->arena, samples->items,
                                    samples->capacity * sizeof *samples->items,
                                    capacity * sizeof *samples->items);
        samples->capacity = capacity;
    }
    struct metric_sample *sample = &samples->items[samples->count++];
    *sample = (struct metric_sample){ .family = family, .value = value };
    memcpy(sample->labels, labels, sizeof sample->labels);
}

/* --- text --------------------------------------------------------------------------------------*/

static void
flush(struct writer *w)
{
    if (w->err == OK && w->out.len > 0)
        w->err = w->put(w->arg, buf_slice(&w->out)); /* may suspend */
    buf_clear(&w->out);
}

static void
text(struct writer *w, struct slice s)
{
    if (w->err == OK && !buf_append(&w->out, s))
        w->err = ERR_TOO_LARGE; /* no line is as long as the room kept for one */
}

static void
number(struct writer *w, double value)
{
    char digits[NUMBER_TEXT_BYTES];
    text(w, number_text(value, digits));
}

/* How much of the front needs no escape. */
static size_t
plain_len(struct slice s)
{
    size_t len = 0;
    while (len < s.len && (unsigned char)s.data[len] < 0x80 && s.data[len] != '\\' &&
           s.data[len] != '"' && s.data[len] != '\n')
        len++;
    return len;
}

/* Escaped as the format asks; bytes that are no UTF-8 are replaced. */
static void
label_value(struct writer *w, struct slice s)
{
    while (s.len > 0) {
        size_t len = plain_len(s);
        if (len == 0)
            len = slice_utf8_len(s);
        if (len == 0)
            text(w, SLICE("\xef\xbf\xbd"));
        else if (s.data[0] == '\\')
            text(w, SLICE("\\\\"));
        else if (s.data[0] == '"')
            text(w, SLICE("\\\""));
        else if (s.data[0] == '\n')
            text(w, SLICE("\\n"));
        else
            text(w, slice_first(s, len));
        s = slice_from(s, len == 0 ? 1 : len);
    }
}

static void
label(struct writer *w, bool *is_first, const char *name, struct slice value)
{
    text(w, *is_first ? SLICE("{") : SLICE(","));
    *is_first = false;
    text(w, slice_str(name));
    text(w, SLICE("=\""));
    label_value(w, value);
    text(w, SLICE("\""));
}

/* `name_suffix{labels…,le="…"} `: the value follows. `le` NULL: none. */
static void
line_begin(struct writer *w, const struct metric_family_info *family, const char *suffix,
           const struct slice *labels, const struct slice *le)
{
    const struct metric_group_info *group = &metric_groups[family->group];
    bool is_first = true;
    if (w->out.len >= LIMIT_metric_output_bytes)
        flush(w);
    text(w, slice_str(family->name));
    text(w, slice_str(suffix));
    if (group->has_app_id)
        label(w, &is_first, "app_id", metrics_app_id(w->metrics));
    for (size_t i = 0; i < group->label_count; i++)
        label(w, &is_first, group->labels[i], labels[i]);
    if (le != NULL)
        label(w, &is_first, "le", *le);
    text(w, is_first ? SLICE(" ") : SLICE("} "));
}

static void
line(struct writer *w, const struct metric_family_info *family, const char *suffix,
     const struct slice *labels, double value)
{
    line_begin(w, family, suffix, labels, NULL);
    number(w, value);
    text(w, SLICE("\n"));
}

/* --- series ------------------------------------------------------------------------------------*/

static int
compare_labels(const struct metric_series *a, const struct metric_series *b)
{
    for (size_t i = 0; i < metric_groups[a->group].label_count; i++) {
        int order = slice_cmp(a->labels[i], b->labels[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

static int
compare(const void *a, const void *b)
{
    const struct metric_series *const *left = a, *const *right = b;
    return compare_labels(*left, *right);
}

static const struct sorted *
sorted(struct writer *w, enum metric_group group)
{
    struct sorted *list = &w->groups[group];
    if (list->is_ready)
        return list;
    size_t capacity = 0;
    list->is_ready = true;
    for (unsigned shard = 0; shard < metrics_shards(w->metrics); shard++) {
        const struct metric_series *series = metrics_first(w->metrics, shard, group);
        for (; series != NULL; series = series->next) {
            if (list->count == capacity) {
                size_t more = capacity == 0 ? 64 : capacity * 2;
                list->items = arena_grow(w->scratch, list->items, capacity * sizeof *list->items,
                                         more * sizeof *list->items);
                capacity = more;
            }
            list->items[list->count++] = series;
        }
    }
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, compare);
    return list;
}

/* The shards' records of one label set, added up. */
struct totals {
    size_t count_of_counts;
    uint64_t sum;
    uint64_t all;
    uint64_t counts[METRIC_BOUNDS_MAX + 1];
};

static void
add_up(const struct metric_series *const *items, size_t count, struct totals *totals)
{
    *totals = (struct totals){ .count_of_counts = items[0]->bounds == NULL
                                                      ? 1
                                                      : items[0]->bounds->count + 1 };
    for (size_t i = 0; i < count; i++) {
        totals->sum += atomic_load_explicit(&items[i]->sum, memory_order_relaxed);
        for (size_t at = 0; at < totals->count_of_counts; at++) {
            uint64_t records = atomic_load_explicit(&items[i]->counts[at], memory_order_relaxed);
            totals->counts[at] += records;
            totals->all += records;
        }
    }
}

static void
write_histogram(struct writer *w, const struct metric_family_info *family,
                const struct metric_series *series, const struct totals *totals)
{
    const struct metric_bounds *bounds = series->bounds;
    uint64_t below = 0;
    for (size_t i = 0; i < totals->count_of_counts; i++) {
        char digits[NUMBER_TEXT_BYTES];
        struct slice le = i < bounds->count ? number_text((double)bounds->items[i], digits)
                                            : SLICE("+Inf");
        below += totals->counts[i];
        line_begin(w, family, "_bucket", series->labels, &le);
        number(w, (double)below);
        text(w, SLICE("\n"));
    }
    line(w, family, "_sum", series->labels, (double)totals->sum / (double)bounds->unit);
    line(w, family, "_count", series->labels, (double)totals->all);
}

static void
write_recorded(struct writer *w, const struct metric_family_info *family)
{
    const struct sorted *list = sorted(w, family->group);
    for (size_t i = 0, same; i < list->count && w->err == OK; i += same) {
        struct totals totals;
        for (same = 1; i + same < list->count; same++)
            if (compare_labels(list->items[i], list->items[i + same]) != 0)
                break;
        add_up(list->items + i, same, &totals);
        if (family->type == TYPE_HISTOGRAM)
            write_histogram(w, family, list->items[i], &totals);
        else
            line(w, family, "", list->items[i]->labels, (double)totals.all);
    }
}

static bool
is_sampled(const struct metric_family_info *family)
{
    return family->type == TYPE_GAUGE || family->type == TYPE_SAMPLED_COUNTER;
}

static bool
has_anything(struct writer *w, enum metric_family family)
{
    if (!is_sampled(&metric_families[family]))
        return sorted(w, metric_families[family].group)->count > 0;
    for (size_t i = 0; i < w->samples->count; i++)
        if (w->samples->items[i].family == family)
            return true;
    return false;
}

static void
write_head(struct writer *w, const struct metric_family_info *family)
{
    static const char *const types[] = { [TYPE_COUNTER] = "counter",
                                         [TYPE_HISTOGRAM] = "histogram",
                                         [TYPE_SAMPLED_COUNTER] = "counter",
                                         [TYPE_GAUGE] = "gauge" };
    const struct slice parts[] = { SLICE("# HELP "),   slice_str(family->name),
                                   SLICE(" "),         slice_str(family->help),
                                   SLICE("\n# TYPE "), slice_str(family->name),
                                   SLICE(" "),         slice_str(types[family->type]),
                                   SLICE("\n") };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        text(w, parts[i]);
}

static void
write_family(struct writer *w, enum metric_family number)
{
    const struct metric_family_info *family = &metric_families[number];
    if (!has_anything(w, number))
        return;
    write_head(w, family);
    if (!is_sampled(family)) {
        write_recorded(w, family);
        return;
    }
    for (size_t i = 0; i < w->samples->count; i++)
        if (w->samples->items[i].family == number)
            line(w, family, "", w->samples->items[i].labels, w->samples->items[i].value);
}

err_t
exposition_write(const struct metrics *metrics, const struct metric_samples *samples,
                 struct arena *scratch, exposition_put_fn *put, void *arg)
{
    struct writer *w = ARENA_NEW(scratch, struct writer);
    w->metrics = metrics;
    w->samples = samples;
    w->scratch = scratch;
    w->put = put;
    w->arg = arg;
    buf_init(&w->out, LIMIT_metric_output_bytes + LINE_BYTES_MAX);
    for (int family = 0; family < METRIC_FAMILIES && w->err == OK; family++)
        write_family(w, (enum metric_family)family);
    flush(w);
    buf_fini(&w->out);
    return w->err;
}
