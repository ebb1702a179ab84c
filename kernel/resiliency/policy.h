/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies in force and what applies to whom. Immutable and counted; what moves are its circuit
 * breakers, which all workers share under locks of their own. Settings have a reference
 * (api/settings.h); the next generation takes over the breakers whose policy is the same.
 */
#ifndef RESILIENCY_POLICY_H
#define RESILIENCY_POLICY_H

#include "config/resiliency.h"
#include "resiliency/breaker.h"
#include "resiliency/breaker_set.h"

struct resiliency;

enum resiliency_direction { RESILIENCY_OUTBOUND, RESILIENCY_INBOUND };

/* What applies to one target: the parts that are NULL do not. Zero-initialised nothing does. It is
 * valid until the next suspension, except within resiliency_run(), which keeps it alive. */
struct resiliency_target {
    struct resiliency *resiliency; /* borrowed; NULL: nothing applies */
    enum target_kind kind;
    enum resiliency_direction direction;
    struct slice name;     /* app id, actor type or component; borrowed from the caller */
    const char *sort;      /* of a component: "Statestore" */
    struct slice document; /* of the policies, for metrics */
    struct slice namespace_;
    bool is_named; /* a document targets it, if only with nothing: no built-in retries for apps */
    const struct timeout_policy *timeout;
    const struct retry_policy *retry;
    const struct breaker_policy *breaker;
    enum breaker_scope breaker_scope;
    uint32_t breakers_max;
};

/* What the documents say. `old` may be NULL; its breakers go on. One reference. Control thread. */
struct resiliency *resiliency_new(const struct resources *resources,
                                  const struct resource_filter *filter, struct resiliency *old);
/* It is about to be published: logs what was read, and ends the breakers whose policy is not the
 * same any more. Control thread. */
void resiliency_enter_into_force(struct resiliency *resiliency);
/* Any thread; NULL is nothing for either. */
struct resiliency *resiliency_ref(struct resiliency *resiliency);
void resiliency_unref(struct resiliency *resiliency);

/* NULL for NULL. */
const struct resiliency_config *resiliency_config(const struct resiliency *resiliency);

/* Any thread; `resiliency` may be NULL. */
void resiliency_for_app(struct resiliency *resiliency, struct slice app_id,
                        struct resiliency_target *ret_target);
/* `sort` as in the names of default policies: "Statestore", "Secretstore", "Pubsub", "Binding",
 * "Configuration", "Lock", "Crypto", … */
void
resiliency_for_component(struct resiliency *resiliency, struct slice name, const char *sort,
                         enum resiliency_direction direction, struct resiliency_target *ret_target);
void resiliency_for_actor(struct resiliency *resiliency, struct slice type,
                          struct resiliency_target *ret_target);

/* The breaker of one instance of the target; NULL without a breaker policy. One reference. */
struct breaker *
resiliency_breaker_of(const struct resiliency_target *target, struct slice instance);
/* What metrics call it: "app_A", "actor_T", "Statestore_N". */
enum { RESILIENCY_LABEL_BYTES = 512 };
struct slice resiliency_target_label(const struct resiliency_target *target,
                                     char ret_text[RESILIENCY_LABEL_BYTES]);
/* The state of all breakers, one line a target. Any thread; `resiliency` may be NULL. */
void resiliency_each_breaker(struct resiliency *resiliency, breaker_report_fn *fn, void *arg);

#endif
