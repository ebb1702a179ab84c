/* SPDX-License-Identifier: Apache-2.0 */
/* Which policies apply to whom; see policy.h. */
#include "resiliency/policy.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "resiliency/breaker_set.h"

#define SCOPE "dapr.runtime"

struct resiliency {
    atomic_uint refs;
    struct arena arena; /* of the config */
    struct resiliency_config config;
    bool has_defaults;            /* some policy applies to those who name none */
    struct breaker_set *breakers; /* counted; shared with the generations before and after */
};

/* --- default policies --------------------------------------------------------------------------*/

enum { SORTS_MAX = 4, NAME_BYTES = 128 };

/* The middle part of their names, narrowest first. */
struct sorts {
    char names[SORTS_MAX][NAME_BYTES / 2];
    size_t count;
};

static void
add_sort(struct sorts *sorts, const char *sort, const char *word, const char *direction)
{
    (void)snprintf(sorts->names[sorts->count++], sizeof sorts->names[0], "%s%s%s", sort, word,
                   direction); /* our own words fit */
}

static struct sorts
sorts_of(const struct resiliency_target *target)
{
    struct sorts sorts = { .count = 0 };
    const char *direction = target->direction == RESILIENCY_INBOUND ? "Inbound" : "Outbound";
    if (target->kind == TARGET_APP)
        add_sort(&sorts, "App", "", "");
    if (target->kind == TARGET_ACTOR)
        add_sort(&sorts, "Actor", "", "");
    if (target->kind == TARGET_COMPONENT) {
        add_sort(&sorts, target->sort, "Component", direction);
        add_sort(&sorts, "", "Component", direction);
        add_sort(&sorts, "", "Component", "");
    }
    add_sort(&sorts, "", "", "");
    return sorts;
}

static struct slice
default_name(char name[NAME_BYTES], const char *sort, const char *what)
{
    int len = snprintf(name, NAME_BYTES, "Default%s%sPolicy", sort, what);
    return slice_of(name, (size_t)len); /* our own words fit */
}

static bool
has_defaults(const struct resiliency_config *config)
{
    const struct slice begin = SLICE("Default");
    bool has = false;
    for (size_t i = 0; i < config->timeout_count; i++)
        has |= slice_has_prefix(config->timeouts[i].name, begin);
    for (size_t i = 0; i < config->retry_count; i++)
        has |= slice_has_prefix(config->retries[i].name, begin);
    for (size_t i = 0; i < config->breaker_count; i++)
        has |= slice_has_prefix(config->breakers[i].name, begin);
    return has;
}

static void
apply_defaults(const struct resiliency_config *config, struct resiliency_target *target)
{
    const struct sorts sorts = sorts_of(target);
    char name[NAME_BYTES];
    for (size_t i = 0; i < sorts.count; i++) {
        const char *sort = sorts.names[i];
        if (target->timeout == NULL)
            target->timeout = resiliency_timeout(config, default_name(name, sort, "Timeout"));
        if (target->retry == NULL)
            target->retry = resiliency_retry(config, default_name(name, sort, "Retry"));
        if (target->breaker == NULL)
            target->breaker = resiliency_breaker(config,
                                                 default_name(name, sort, "CircuitBreaker"));
    }
}

/* --- targets -----------------------------------------------------------------------------------*/

static void
apply_rule(const struct resiliency_config *config, const struct target_rule *rule,
           struct resiliency_target *target)
{
    bool is_inbound = target->direction == RESILIENCY_INBOUND;
    const struct policy_names *names = is_inbound ? &rule->inbound : &rule->names;
    target->is_named = true;
    target->document = rule->document;
    target->namespace_ = rule->namespace_;
    target->timeout = resiliency_timeout(config, names->timeout);
    target->retry = resiliency_retry(config, names->retry);
    target->breaker = resiliency_breaker(config, names->breaker);
    target->breaker_scope = rule->breaker_scope;
    if (rule->breakers_max > 0)
        target->breakers_max = rule->breakers_max;
}

static void
resolve(struct resiliency *resiliency, struct resiliency_target *target)
{
    if (resiliency == NULL)
        return;
    const struct resiliency_config *config = &resiliency->config;
    const struct target_rule *rule = resiliency_rule(config, target->kind, target->name);
    target->resiliency = resiliency;
    target->breakers_max = target->kind == TARGET_ACTOR ? LIMIT_breakers_actor_default
                                                        : LIMIT_breakers_default;
    /* The last document names what is nobody's in particular, as in the reference. */
    if (config->document_count > 0) {
        target->document = config->documents[config->document_count - 1].name;
        target->namespace_ = config->documents[config->document_count - 1].namespace_;
    }
    if (rule != NULL)
        apply_rule(config, rule, target);
    else if (resiliency->has_defaults)
        apply_defaults(config, target);
    if (target->timeout != NULL && target->timeout->timeout_ms == 0)
        target->timeout = NULL;
}

void
resiliency_for_app(struct resiliency *resiliency, struct slice app_id,
                   struct resiliency_target *ret_target)
{
    *ret_target = (struct resiliency_target){ .kind = TARGET_APP, .name = app_id };
    resolve(resiliency, ret_target);
}

void
resiliency_for_component(struct resiliency *resiliency, struct slice name, const char *sort,
                         enum resiliency_direction direction, struct resiliency_target *ret_target)
{
    *ret_target = (struct resiliency_target){
        .kind = TARGET_COMPONENT, .direction = direction, .name = name, .sort = sort
    };
    resolve(resiliency, ret_target);
}

void
resiliency_for_actor(struct resiliency *resiliency, struct slice type,
                     struct resiliency_target *ret_target)
{
    *ret_target = (struct resiliency_target){ .kind = TARGET_ACTOR, .name = type };
    resolve(resiliency, ret_target);
}

struct slice
resiliency_target_label(const struct resiliency_target *target,
                        char ret_text[RESILIENCY_LABEL_BYTES])
{
    static const char *const prefixes[TARGET_KINDS] = {
        [TARGET_APP] = "app", [TARGET_ACTOR] = "actor", [TARGET_COMPONENT] = "component"
    };
    const char *prefix = target->kind == TARGET_COMPONENT && target->sort != NULL
                             ? target->sort
                             : prefixes[target->kind];
    int len = snprintf(ret_text, RESILIENCY_LABEL_BYTES, "%s_" SLICE_FMT, prefix,
                       SLICE_ARG(target->name)); /* cut is fine */
    return slice_of(ret_text,
                    len < RESILIENCY_LABEL_BYTES ? (size_t)len : RESILIENCY_LABEL_BYTES - 1);
}

struct breaker *
resiliency_breaker_of(const struct resiliency_target *target, struct slice instance)
{
    char label[RESILIENCY_LABEL_BYTES];
    if (target->breaker == NULL)
        return NULL;
    const struct breaker_owner owner = {
        .kind = target->kind,
        .is_inbound = target->direction == RESILIENCY_INBOUND,
        .name = target->name,
        .target = resiliency_target_label(target, label),
        .document = target->document,
        .namespace_ = target->namespace_,
        .breakers_max = target->breakers_max,
    };
    return breaker_set_get(target->resiliency->breakers, &owner, target->breaker, instance);
}

/* --- generations -------------------------------------------------------------------------------*/

static const struct breaker_policy *
policy_now(void *arg, const struct breaker_owner *owner)
{
    struct resiliency_target target = {
        .kind = owner->kind,
        .direction = owner->is_inbound ? RESILIENCY_INBOUND : RESILIENCY_OUTBOUND,
        .name = owner->name,
    };
    /* "Statestore_name": the sort stands before the name. */
    char sort[NAME_BYTES / 4] = "";
    if (owner->kind == TARGET_COMPONENT && owner->target.len > owner->name.len)
        (void)snprintf(sort, sizeof sort, "%.*s", (int)(owner->target.len - owner->name.len - 1),
                       owner->target.data);
    target.sort = sort;
    resolve(arg, &target);
    return target.breaker;
}

static void
log_documents(const struct resiliency_config *config)
{
    for (size_t i = 0; i < config->document_count; i++)
        log_info(SCOPE, "Loading Resiliency configuration: " SLICE_FMT,
                 SLICE_ARG(config->documents[i].name));
    for (size_t i = 0; i < config->errors.count; i++)
        log_error(SCOPE, SLICE_FMT, SLICE_ARG(config->errors.items[i]));
    for (size_t i = 0; i < config->warnings.count; i++)
        log_warn(SCOPE, SLICE_FMT, SLICE_ARG(config->warnings.items[i]));
}

struct resiliency *
resiliency_new(const struct resources *resources, const struct resource_filter *filter,
               struct resiliency *old)
{
    struct resiliency *resiliency = calloc(1, sizeof *resiliency);
    if (resiliency == NULL)
        abort();
    atomic_init(&resiliency->refs, 1);
    arena_init(&resiliency->arena);
    resiliency_read(&resiliency->arena, resources, filter, &resiliency->config);
    resiliency->has_defaults = has_defaults(&resiliency->config);
    resiliency->breakers = old == NULL ? breaker_set_new() : breaker_set_ref(old->breakers);
    return resiliency;
}

void
resiliency_enter_into_force(struct resiliency *resiliency)
{
    log_documents(&resiliency->config);
    breaker_set_prune(resiliency->breakers, policy_now, resiliency);
}

struct resiliency *
resiliency_ref(struct resiliency *resiliency)
{
    /* Relaxed: who counts has a reference already. */
    if (resiliency != NULL)
        atomic_fetch_add_explicit(&resiliency->refs, 1, memory_order_relaxed);
    return resiliency;
}

void
resiliency_unref(struct resiliency *resiliency)
{
    /* Release what was done with it before, acquire what others did, then free. */
    if (resiliency == NULL ||
        atomic_fetch_sub_explicit(&resiliency->refs, 1, memory_order_acq_rel) > 1)
        return;
    breaker_set_unref(resiliency->breakers);
    arena_fini(&resiliency->arena);
    free(resiliency);
}

const struct resiliency_config *
resiliency_config(const struct resiliency *resiliency)
{
    return resiliency == NULL ? NULL : &resiliency->config;
}

void
resiliency_each_breaker(struct resiliency *resiliency, breaker_report_fn *fn, void *arg)
{
    if (resiliency != NULL)
        breaker_set_each(resiliency->breakers, fn, arg);
}
