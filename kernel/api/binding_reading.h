/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reading of an input binding: a plugin has been asked for a component's events, which come
 * under the number it was given (METHOD_BINDING_READ). Counted, any thread, immutable but for the
 * count of events on their way.
 */
#ifndef API_BINDING_READING_H
#define API_BINDING_READING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

struct link;

struct binding_reading {
    atomic_uint refs; /* first: see api/numbered.h */
    uint64_t id;
    const struct link *link; /* that events may come by; compared, never followed */
    atomic_uint open_events;
    struct slice name; /* of the component; these belong to the struct */
    struct slice path; /* where an HTTP application takes the events, with its first slash */
};

/* Where the events of a binding go: its route, else its name; in the arena. What a request line
 * cannot hold is escaped. */
struct arena;
struct slice binding_path(struct arena *arena, struct slice name, struct slice route);

/* One that binding_reading_find() knows; one reference. Copies the texts. */
struct binding_reading *
binding_reading_new(struct slice name, struct slice path, const struct link *link);
/* No further event can be of it. */
void binding_reading_retire(struct binding_reading *reading);
/* NULL if there is none of that number; one reference. */
struct binding_reading *binding_reading_find(uint64_t id);
void binding_reading_unref(struct binding_reading *reading); /* NULL is nothing */

/* Around each event. False: as many as the plugin may have on their way are. */
bool binding_reading_enter(struct binding_reading *reading) WARN_UNUSED;
void binding_reading_leave(struct binding_reading *reading);

#endif
