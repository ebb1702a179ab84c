/* SPDX-License-Identifier: Apache-2.0 */
/* What is wanted, and the numbers of what plugins were asked for; see subscription.h. */
#include "api/subscription.h"

#include <stdlib.h>

#include "api/numbered.h"
#include "base/limits.h"

/* --- what is wanted ----------------------------------------------------------------------------*/

struct topic_spec *
topic_spec_new(enum topic_kind kind)
{
    struct topic_spec *spec = calloc(1, sizeof *spec);
    if (spec == NULL)
        abort();
    atomic_init(&spec->refs, 1);
    arena_init(&spec->arena);
    spec->kind = kind;
    spec->name = spec->pubsub = spec->topic = spec->dead_letter_topic = SLICE_EMPTY;
    return spec;
}

struct topic_spec *
topic_spec_ref(struct topic_spec *spec)
{
    (void)atomic_fetch_add_explicit(&spec->refs, 1, memory_order_relaxed);
    return spec;
}

void
topic_spec_unref(struct topic_spec *spec)
{
    /* Release what was read of it before, for whoever frees it. */
    if (spec == NULL || atomic_fetch_sub_explicit(&spec->refs, 1, memory_order_acq_rel) > 1)
        return;
    arena_fini(&spec->arena);
    free(spec);
}

void
topic_spec_set_metadata(struct topic_spec *spec, const struct pair *pairs, size_t count)
{
    struct pair *copy = ARENA_ARRAY(&spec->arena, struct pair, count + 1);
    bool is_raw;
    for (size_t i = 0; i < count; i++) {
        copy[i] = (struct pair){ arena_dup(&spec->arena, pairs[i].name),
                                 arena_dup(&spec->arena, pairs[i].value) };
        if (slice_eq_nocase(pairs[i].name, SLICE("rawPayload")) ||
            slice_eq_nocase(pairs[i].name, SLICE("isRawPayload")))
            spec->is_raw = slice_to_bool(pairs[i].value, &is_raw) && is_raw;
    }
    spec->metadata = copy;
    spec->metadata_count = count;
}

static bool
same_rules(const struct topic_spec *a, const struct topic_spec *b)
{
    bool is_same = a->rule_count == b->rule_count;
    for (size_t i = 0; i < a->rule_count && is_same; i++)
        is_same = slice_eq(a->rules[i].match, b->rules[i].match) &&
                  slice_eq(a->rules[i].path, b->rules[i].path);
    return is_same;
}

bool
topic_spec_equal(const struct topic_spec *a, const struct topic_spec *b)
{
    bool is_same = a->kind == b->kind && slice_eq(a->name, b->name) &&
                   slice_eq(a->pubsub, b->pubsub) && slice_eq(a->topic, b->topic) &&
                   slice_eq(a->dead_letter_topic, b->dead_letter_topic) &&
                   a->is_bulk == b->is_bulk && a->bulk_messages_max == b->bulk_messages_max &&
                   a->bulk_await_ms == b->bulk_await_ms && a->metadata_count == b->metadata_count &&
                   same_rules(a, b);
    for (size_t i = 0; i < a->metadata_count && is_same; i++)
        is_same = slice_eq(a->metadata[i].name, b->metadata[i].name) &&
                  slice_eq(a->metadata[i].value, b->metadata[i].value);
    return is_same;
}

/* --- numbers -----------------------------------------------------------------------------------*/

/* Of the process: messages come on any worker. */
static struct numbered registry = NUMBERED_INIT;

struct subscription *
subscription_new(struct topic_spec *spec, const struct topic_taker *taker, const struct link *link)
{
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL)
        abort();
    atomic_init(&subscription->refs, 2); /* the caller's and the registry's */
    subscription->spec = topic_spec_ref(spec);
    subscription->taker = taker;
    subscription->link = link;
    numbered_add(&registry, subscription, &subscription->id);
    return subscription;
}

uint32_t
subscription_batch_max(const struct topic_spec *spec, bool gathers)
{
    return gathers && spec->bulk_messages_max > LIMIT_topic_gather_max ? LIMIT_topic_gather_max
                                                                       : spec->bulk_messages_max;
}

void
subscription_retire(struct subscription *subscription)
{
    bool was_known = numbered_remove(&registry, subscription->id);
    if (was_known)
        subscription_unref(subscription);
}

struct subscription *
subscription_find(uint64_t id)
{
    return numbered_find(&registry, id);
}

void
subscription_unref(struct subscription *subscription)
{
    /* As with specs. */
    if (subscription == NULL ||
        atomic_fetch_sub_explicit(&subscription->refs, 1, memory_order_acq_rel) > 1)
        return;
    topic_spec_unref(subscription->spec);
    free(subscription);
}
