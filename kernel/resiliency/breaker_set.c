/* SPDX-License-Identifier: Apache-2.0 */
/* Circuit breakers by target and instance; see breaker_set.h. */
#include "resiliency/breaker_set.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

#define SCOPE "dapr.runtime"

struct group {
    struct list node; /* of the set, longest unused first */
    struct breaker_owner owner;
    char *texts[4]; /* owned: those of the owner */
    struct map by_instance;
    struct list entries; /* longest unused first */
    struct entry *latest;
};

struct entry {
    struct list node; /* of the group */
    struct group *group;
    struct breaker *breaker; /* counted */
    char *bytes;             /* owned: of the instance */
    struct slice instance;
};

struct breaker_set {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct map by_owner[TARGET_KINDS][2]; /* by kind and direction; by name */
    struct list groups;
    size_t group_count;
};

/* --- under the lock ----------------------------------------------------------------------------*/

static void
drop_entry(struct entry *entry)
{
    breaker_unref(entry->breaker); /* a call under way has a reference of its own */
    free(entry->bytes);
    free(entry);
}

/* In no list any more. */
static void
free_entry(struct entry *entry)
{
    struct group *group = entry->group;
    if (group->latest == entry)
        group->latest = NULL;
    (void)map_remove(&group->by_instance, entry->instance);
    drop_entry(entry);
}

static void
drop_group(struct group *group)
{
    size_t cursor = 0;
    struct slice instance;
    void *entry;
    while (map_next(&group->by_instance, &cursor, &instance, &entry))
        drop_entry(entry);
    map_fini(&group->by_instance);
    for (size_t i = 0; i < ARRAY_LEN(group->texts); i++)
        free(group->texts[i]);
    free(group);
}

/* In no list any more. */
static void
free_group(struct breaker_set *set, struct group *group)
{
    (void)map_remove(&set->by_owner[group->owner.kind][group->owner.is_inbound], group->owner.name);
    set->group_count--;
    drop_group(group);
}

/* One look-up adds one at most, so that one is enough; after a change of the limit it takes some.
 */
static void
trim_group(struct group *group)
{
    if (group->by_instance.count <= group->owner.breakers_max || group->by_instance.count == 1)
        return;
    struct list *oldest = list_take_first(&group->entries);
    if (oldest != NULL)
        free_entry(LIST_ENTRY(oldest, struct entry, node));
}

static struct slice
keep(struct group *group, size_t at, struct slice text)
{
    free(group->texts[at]);
    group->texts[at] = slice_copy(text);
    return slice_of(group->texts[at], text.len);
}

/* The document may have been renamed. */
static void
describe(struct group *group, const struct breaker_owner *owner)
{
    group->owner.breakers_max = owner->breakers_max;
    if (!slice_eq(group->owner.target, owner->target))
        group->owner.target = keep(group, 1, owner->target);
    if (!slice_eq(group->owner.document, owner->document))
        group->owner.document = keep(group, 2, owner->document);
    if (!slice_eq(group->owner.namespace_, owner->namespace_))
        group->owner.namespace_ = keep(group, 3, owner->namespace_);
}

static struct group *
find_group(struct breaker_set *set, const struct breaker_owner *owner)
{
    struct map *map = &set->by_owner[owner->kind][owner->is_inbound];
    struct group *group = map_get(map, owner->name);
    if (group != NULL) {
        list_remove(&group->node);
    } else {
        struct list *node = NULL;
        if (set->group_count == LIMIT_breaker_groups_max)
            node = list_take_first(&set->groups);
        if (node != NULL)
            free_group(set, LIST_ENTRY(node, struct group, node));
        group = calloc(1, sizeof *group);
        if (group == NULL)
            abort();
        group->owner = (struct breaker_owner){ .kind = owner->kind,
                                               .is_inbound = owner->is_inbound,
                                               .name = keep(group, 0, owner->name) };
        map_init(&group->by_instance);
        list_init(&group->entries);
        list_init(&group->node);
        (void)map_put(map, group->owner.name, group); /* it was not there */
        set->group_count++;
    }
    list_append(&set->groups, &group->node);
    describe(group, owner);
    return group;
}

static void
on_changed(void *arg, struct slice name, enum breaker_state from, enum breaker_state to)
{
    (void)arg;
    log_info(SCOPE, "Circuit breaker \"" SLICE_FMT "\" changed state from %s to %s",
             SLICE_ARG(name), breaker_state_name(from), breaker_state_name(to));
}

/* As the reference names it in the log. */
static struct breaker *
new_breaker(const struct group *group, const struct breaker_policy *policy, struct slice instance)
{
    struct arena arena;
    if (group->owner.kind != TARGET_COMPONENT)
        return breaker_new(instance, policy, on_changed, NULL);
    arena_init(&arena);
    struct slice name = arena_printf(&arena, SLICE_FMT "-" SLICE_FMT, SLICE_ARG(policy->name),
                                     SLICE_ARG(instance));
    struct breaker *breaker = breaker_new(name, policy, on_changed, NULL);
    arena_fini(&arena);
    return breaker;
}

static struct entry *
new_entry(struct group *group, const struct breaker_policy *policy, struct slice instance)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        abort();
    entry->group = group;
    entry->bytes = slice_copy(instance);
    entry->instance = slice_of(entry->bytes, instance.len);
    entry->breaker = new_breaker(group, policy, instance);
    list_init(&entry->node);
    (void)map_put(&group->by_instance, entry->instance, entry); /* it was not there */
    return entry;
}

/* --- for everybody -----------------------------------------------------------------------------*/

static void
lock(struct breaker_set *set)
{
    (void)pthread_mutex_lock(&set->lock); /* a plain mutex does not fail */
}

static void
unlock(struct breaker_set *set)
{
    (void)pthread_mutex_unlock(&set->lock);
}

struct breaker *
breaker_set_get(struct breaker_set *set, const struct breaker_owner *owner,
                const struct breaker_policy *policy, struct slice instance)
{
    lock(set);
    struct group *group = find_group(set, owner);
    struct entry *entry = map_get(&group->by_instance, instance);
    if (entry != NULL && !breaker_is_of(entry->breaker, policy)) {
        list_remove(&entry->node);
        free_entry(entry);
        entry = NULL;
    }
    if (entry != NULL)
        list_remove(&entry->node);
    else
        entry = new_entry(group, policy, instance);
    list_append(&group->entries, &entry->node);
    group->latest = entry;
    struct breaker *breaker = breaker_ref(entry->breaker);
    trim_group(group);
    unlock(set);
    return breaker;
}

void
breaker_set_each(struct breaker_set *set, breaker_report_fn *fn, void *arg)
{
    lock(set);
    for (struct list *node = set->groups.next; node != &set->groups; node = node->next) {
        const struct group *group = LIST_ENTRY(node, struct group, node);
        if (group->latest == NULL)
            continue;
        const struct breaker_report report = { group->owner,
                                               breaker_state(group->latest->breaker) };
        fn(arg, &report);
    }
    unlock(set);
}

void
breaker_set_prune(struct breaker_set *set, breaker_policy_fn *policy_of, void *arg)
{
    lock(set);
    for (struct list *node = set->groups.next, *next; node != &set->groups; node = next) {
        struct group *group = LIST_ENTRY(node, struct group, node);
        next = node->next;
        const struct breaker_policy *policy = policy_of(arg, &group->owner);
        if (policy == NULL || group->latest == NULL ||
            !breaker_is_of(group->latest->breaker, policy)) {
            list_remove(&group->node);
            free_group(set, group);
        }
    }
    unlock(set);
}

struct breaker_set *
breaker_set_new(void)
{
    struct breaker_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        abort();
    atomic_init(&set->refs, 1);
    (void)pthread_mutex_init(&set->lock, NULL); /* a plain mutex needs no resources */
    list_init(&set->groups);
    for (size_t i = 0; i < TARGET_KINDS; i++) {
        map_init(&set->by_owner[i][0]);
        map_init(&set->by_owner[i][1]);
    }
    return set;
}

struct breaker_set *
breaker_set_ref(struct breaker_set *set)
{
    /* Relaxed: who counts has a reference already. */
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

static void
free_map(struct map *groups)
{
    size_t cursor = 0;
    struct slice name;
    void *group;
    while (map_next(groups, &cursor, &name, &group))
        drop_group(group);
    map_fini(groups);
}

void
breaker_set_unref(struct breaker_set *set)
{
    /* Release what was done with it before, acquire what others did, then free. */
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < TARGET_KINDS; i++) {
        free_map(&set->by_owner[i][0]);
        free_map(&set->by_owner[i][1]);
    }
    (void)pthread_mutex_destroy(&set->lock); /* nobody holds it any more */
    free(set);
}
