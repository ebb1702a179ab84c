/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Prometheus reads: text format 0.0.4 of everything counted in all shards, and of samples that
 * the caller has taken of things nobody counts. Families without anything are left out.
 */
#ifndef TELEMETRY_EXPOSITION_H
#define TELEMETRY_EXPOSITION_H

#include "base/err.h"
#include "telemetry/metrics.h"

/* A number of now, of a GAUGE or SAMPLED_COUNTER family. */
struct metric_sample {
    enum metric_family family;
    double value;
    struct slice labels[METRIC_LABELS_MAX]; /* as many as its group has */
};

struct metric_samples {
    struct arena *arena; /* borrowed; texts of labels must live as long */
    struct metric_sample *items;
    size_t count;
    size_t capacity;
};

/* `label` is that of a group with one, else ignored. */
void metric_samples_add(struct metric_samples *samples, enum metric_family family,
                        struct slice label, double value);

/* As many labels as the group has, of METRIC_LABELS_MAX. */
void metric_samples_add_all(struct metric_samples *samples, enum metric_family family,
                            const struct slice labels[METRIC_LABELS_MAX], double value);

/* Takes one piece of the text; may suspend. Not OK ends the writing. */
typedef err_t exposition_put_fn(void *arg, struct slice text);

/* Pieces of about LIMIT_metric_output_bytes. `scratch` holds lists meanwhile. Returns what `put`
 * returned last. Any thread. */
err_t exposition_write(const struct metrics *metrics, const struct metric_samples *samples,
                       struct arena *scratch, exposition_put_fn *put, void *arg) WARN_UNUSED;

#endif
