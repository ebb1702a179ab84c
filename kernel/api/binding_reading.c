/* SPDX-License-Identifier: Apache-2.0 */
/* Readings and their numbers; see binding_reading.h. */
#include "api/binding_reading.h"

#include <stdlib.h>

#include "api/numbered.h"
#include "base/arena.h"
#include "base/limits.h"
#include "http/chars.h"

/* Of the process: events come on any worker. */
static struct numbered registry = NUMBERED_INIT;

struct slice
binding_path(struct arena *arena, struct slice name, struct slice route)
{
    static const char digits[] = "0123456789ABCDEF";
    struct slice from = route.len > 0 ? route : name;
    char *path = arena_alloc(arena, 1 + from.len * 3);
    size_t len = 0;
    if (!slice_has_prefix(from, SLICE("/")))
        path[len++] = '/';
    for (size_t i = 0; i < from.len; i++) {
        unsigned char c = (unsigned char)from.data[i];
        if (char_is((char)c, CHAR_TARGET)) {
            path[len++] = (char)c;
            continue;
        }
        path[len++] = '%';
        path[len++] = digits[c >> 4];
        path[len++] = digits[c & 15];
    }
    return slice_of(path, len);
}

struct binding_reading *
binding_reading_new(struct slice name, struct slice path, const struct link *link)
{
    struct binding_reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        abort();
    atomic_init(&reading->refs, 2); /* the caller's and the registry's */
    atomic_init(&reading->open_events, 0);
    reading->name = slice_of(slice_copy(name), name.len);
    reading->path = slice_of(slice_copy(path), path.len);
    reading->link = link;
    numbered_add(&registry, reading, &reading->id);
    return reading;
}

void
binding_reading_retire(struct binding_reading *reading)
{
    bool was_known = numbered_remove(&registry, reading->id);
    if (was_known)
        binding_reading_unref(reading);
}

struct binding_reading *
binding_reading_find(uint64_t id)
{
    return numbered_find(&registry, id);
}

void
binding_reading_unref(struct binding_reading *reading)
{
    /* Release what was read of it before, for whoever frees it. */
    if (reading == NULL || atomic_fetch_sub_explicit(&reading->refs, 1, memory_order_acq_rel) > 1)
        return;
    free((char *)(uintptr_t)reading->name.data); /* ours: only readers see it as constant */
    free((char *)(uintptr_t)reading->path.data);
    free(reading);
}

/* Relaxed: the count is a fact of its own. */
bool
binding_reading_enter(struct binding_reading *reading)
{
    if (atomic_fetch_add_explicit(&reading->open_events, 1, memory_order_relaxed) <
        LIMIT_binding_window)
        return true;
    binding_reading_leave(reading);
    return false;
}

void
binding_reading_leave(struct binding_reading *reading)
{
    (void)atomic_fetch_sub_explicit(&reading->open_events, 1, memory_order_relaxed);
}
