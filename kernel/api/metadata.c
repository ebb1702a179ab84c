/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of the metadata API; see metadata.h. */
#include "api/metadata.h"

#include <stdlib.h>

#include "api/subscriber.h"
#include "base/limits.h"
#include "resiliency/policy.h"

struct extended_value {
    size_t len;
    char bytes[];
};

void
metadata_init(struct kernel *kernel)
{
    (void)pthread_mutex_init(&kernel->extended_lock, NULL); /* a plain mutex needs no resources */
    map_init(&kernel->extended);
}

void
metadata_fini(struct kernel *kernel)
{
    size_t cursor = 0;
    struct slice name;
    void *value;
    while (map_next(&kernel->extended, &cursor, &name, &value))
        free(value);
    map_fini(&kernel->extended);
    (void)pthread_mutex_destroy(&kernel->extended_lock); /* nobody holds it any more */
}

err_t
metadata_set(struct request *rq, struct slice name, struct slice value)
{
    if (name.len + value.len > LIMIT_metadata_value_bytes_max)
        return fail(rq, ERR_MALFORMED_REQUEST, "a metadata attribute is limited to %d bytes",
                    LIMIT_metadata_value_bytes_max);
    struct extended_value *copy = malloc(sizeof *copy + value.len);
    if (copy == NULL)
        abort();
    copy->len = value.len;
    memcpy(copy->bytes, value.data, value.len);
    struct kernel *kernel = rq->kernel;
    (void)pthread_mutex_lock(&kernel->extended_lock); /* a plain mutex does not fail */
    bool has_room = map_get(&kernel->extended, name) != NULL ||
                    kernel->extended.count < LIMIT_metadata_extended_max;
    void *old = has_room ? map_put(&kernel->extended, name, copy) : copy;
    (void)pthread_mutex_unlock(&kernel->extended_lock);
    free(old);
    return has_room ? OK
                    : fail(rq, ERR_MALFORMED_REQUEST, "at most %d metadata attributes can be set",
                           LIMIT_metadata_extended_max);
}

static int
by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

void
metadata_list(struct request *rq, struct pair **ret_pairs, size_t *ret_count)
{
    struct kernel *kernel = rq->kernel;
    size_t cursor = 0, count = 0;
    struct slice name;
    void *value;
    (void)pthread_mutex_lock(&kernel->extended_lock); /* a plain mutex does not fail */
    struct pair *pairs = ARENA_ARRAY(rq->arena, struct pair, kernel->extended.count + 1);
    while (map_next(&kernel->extended, &cursor, &name, &value)) {
        const struct extended_value *extended = value;
        pairs[count].name = arena_dup(rq->arena, name);
        pairs[count].value = arena_dup(rq->arena, slice_of(extended->bytes, extended->len));
        count++;
    }
    (void)pthread_mutex_unlock(&kernel->extended_lock);
    if (count > 1)
        qsort(pairs, count, sizeof *pairs, by_name);
    *ret_pairs = pairs;
    *ret_count = count;
}

struct text_list
metadata_resiliencies(struct request *rq)
{
    struct text_list names = { 0 };
    const struct resiliency_config *config = resiliency_config(settings_of(rq->task)->resiliency);
    for (size_t i = 0; config != NULL && i < config->document_count; i++)
        text_list_add(rq->arena, &names, config->documents[i].name);
    return names;
}

struct text_list
metadata_endpoints(struct request *rq)
{
    struct text_list names = { 0 };
    const struct endpoints *endpoints = settings_of(rq->task)->endpoints;
    for (size_t i = 0; i < endpoints_count(endpoints); i++)
        text_list_add(rq->arena, &names, endpoints_name(endpoints, i));
    return names;
}

struct slice
metadata_placement(const struct control_status *status)
{
    return status->is_placed ? SLICE("placement: connected") : SLICE("placement: disconnected");
}

/* --- subscriptions -----------------------------------------------------------------------------*/

struct topic_array {
    struct request *rq;
    const struct topic_spec **items;
    size_t count, room;
};

static void
unref_topic(void *arg)
{
    topic_spec_unref(arg);
}

static void
add_topic(const struct topic_spec *spec, void *arg)
{
    struct topic_array *array = arg;
    if (array->count < array->room)
        array->items[array->count] = topic_spec_ref((struct topic_spec *)(uintptr_t)spec);
    array->count++;
}

/* The list is another worker's, which must not touch our arena: it is asked how many there are
 * until there is room for them. */
size_t
metadata_topics(struct request *rq, const struct topic_spec *const **ret_specs)
{
    *ret_specs = NULL;
    if (rq->kernel->subscriber == NULL) /* a kernel without an application side, in tests */
        return 0;
    struct topic_array array = { .rq = rq, .room = 16 };
    err_t err;
    do {
        array.room = array.count > array.room ? array.count : array.room;
        array.items = ARENA_ARRAY(rq->arena, const struct topic_spec *, array.room);
        array.count = 0;
        err = subscriber_each(rq->task, rq->kernel->subscriber, add_topic, &array); /* suspends */
        size_t held = array.count < array.room ? array.count : array.room;
        for (size_t i = 0; i < held; i++)
            arena_on_dispose(rq->arena, unref_topic,
                             (struct topic_spec *)(uintptr_t)array.items[i]);
    } while (err == OK && array.count > array.room);
    *ret_specs = array.items;
    return err == OK ? array.count : 0;
}
