/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resiliency documents: named policies for timeouts, retries and circuit breakers, and the targets
 * they apply to. A policy may stand in another document than its target; what is said twice is what
 * the last document says. A document with a mistake is left out as a whole, the others count.
 *
 * Called by the control thread. Logs nothing: the caller gets the words.
 */
#ifndef CONFIG_RESILIENCY_H
#define CONFIG_RESILIENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "config/resource.h"
#include "config/text_list.h"
#include "config/trip.h"

/* From `first` to `last`, both included. */
struct code_range {
    int first;
    int last;
};

struct code_ranges {
    const struct code_range *items;
    size_t count; /* 0: every code */
};

struct timeout_policy {
    struct slice name;
    uint64_t timeout_ms; /* 0: none */
};

struct retry_policy {
    struct slice name;
    bool is_exponential;
    uint64_t delay_ms;       /* constant: between any two attempts */
    uint64_t delay_ms_max;   /* exponential: before it is randomised */
    uint64_t elapsed_ms_max; /* exponential: no further attempt after so long; 0: no limit */
    int64_t retries_max;     /* -1: no limit */
    struct code_ranges http; /* statuses that may be tried again */
    struct code_ranges grpc; /* codes likewise */
};

struct breaker_policy {
    struct slice name;
    uint32_t requests_max; /* let through while it is half-open */
    uint64_t interval_ms;  /* the counts of a closed one begin anew; 0: never */
    uint64_t timeout_ms;   /* from open to half-open */
    struct trip trip;
};

enum breaker_scope { BREAKER_SCOPE_TYPE, BREAKER_SCOPE_ID };

/* Names of policies; empty: none. They may name nothing, which is as if they were empty. */
struct policy_names {
    struct slice timeout;
    struct slice retry;
    struct slice breaker;
};

struct target_rule {
    struct slice name;         /* app id, actor type or component */
    struct slice document;     /* that it stands in */
    struct slice namespace_;   /* of the document */
    struct policy_names names; /* of a component: outbound */
    struct policy_names inbound;
    enum breaker_scope breaker_scope; /* actors */
    uint32_t breakers_max;            /* breakers kept; 0: the default */
};

enum target_kind { TARGET_APP, TARGET_ACTOR, TARGET_COMPONENT, TARGET_KINDS };

struct resiliency_document {
    struct slice name;
    struct slice namespace_;
    struct slice source; /* its spec as JSON: to see whether it has changed */
};

/* Documents are in the order they were read, everything else in the order of names, each once. */
struct resiliency_config {
    struct resiliency_document *documents; /* those in force */
    size_t document_count;
    struct timeout_policy *timeouts;
    size_t timeout_count;
    struct retry_policy *retries;
    size_t retry_count;
    struct breaker_policy *breakers;
    size_t breaker_count;
    struct target_rule *targets[TARGET_KINDS];
    size_t target_count[TARGET_KINDS];
    struct text_list errors;   /* "Could not read resiliency policy N: …" */
    struct text_list refused;  /* the names of these documents, in the same order */
    struct text_list warnings; /* of what is in force and will not do what was meant */
};

/* Picks the Resiliency documents that are meant for this sidecar out of `resources`, which may go
 * afterwards. Everything delivered lives in `arena`. */
void resiliency_read(struct arena *arena, const struct resources *resources,
                     const struct resource_filter *filter, struct resiliency_config *ret_config);

/* NULL if there is none of that name. */
const struct timeout_policy *
resiliency_timeout(const struct resiliency_config *config, struct slice name);
const struct retry_policy *
resiliency_retry(const struct resiliency_config *config, struct slice name);
const struct breaker_policy *
resiliency_breaker(const struct resiliency_config *config, struct slice name);
const struct target_rule *
resiliency_rule(const struct resiliency_config *config, enum target_kind kind, struct slice name);

/* Whether the list has the code, or has none at all. */
bool code_ranges_match(const struct code_ranges *ranges, int code);

#endif
