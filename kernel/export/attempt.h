/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a collector: between exporter.c, which decides when, and attempt.c, which does it.
 */
#ifndef EXPORT_ATTEMPT_H
#define EXPORT_ATTEMPT_H

#include "export/exporter.h"

struct attempt {
    bool is_ok;
    bool may_repeat;
    uint64_t pause_ms;  /* asked for by the collector; 0: it did not say */
    uint64_t refused;   /* of the spans, for good, by one that is ok */
    struct slice words; /* of a failure, in the task's arena */
};

/* The body of a request: what stands around a batch is put there. */
struct slice exporter_body(const struct exporter_config *config, struct arena *arena,
                           const struct span_batch *batch);
/* Suspends. */
struct attempt exporter_attempt(struct task *t, struct exporter *exporter, struct slice body);

/* Seconds of Retry-After; 0 for a date, or for nonsense. */
uint64_t retry_after_ms(struct slice value);
/* The delay of a google.rpc.RetryInfo in packed details; false: there is none. */
bool retry_info_ms(struct slice details, uint64_t *ret_ms) WARN_UNUSED;

#endif
