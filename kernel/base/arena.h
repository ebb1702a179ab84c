/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives as long as one request: bump allocation, freed as a whole. Owned by one thread
 * at a time. Small arenas keep their first chunk across arena_reset(), so a pooled task allocates
 * nothing for an ordinary request.
 *
 * Sizes chosen by us abort when memory is out; sizes chosen by a peer must have passed a limit of
 * limits.def before.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct arena_chunk;

/* Runs when the arena is reset or freed: a destructor for what the arena does not own. */
typedef void arena_dispose_fn(void *arg);

struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *next;                 /* free space of the newest chunk */
    char *end;
    struct arena_disposer *disposers; /* newest first; run in that order */
    size_t total_bytes;               /* held from malloc, for accounting */
    bool is_secret;                   /* set by who puts keys there: wiped when it is reset */
};

void arena_init(struct arena *arena);
/* Runs the disposers, frees everything but one small chunk. */
void arena_reset(struct arena *arena);
void arena_fini(struct arena *arena);

/* Aligned for any type, not zeroed. Zero bytes give a valid pointer. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_zalloc(struct arena *arena, size_t bytes);
/* Grows the newest allocation in place when it can, else copies. */
void *arena_grow(struct arena *arena, void *old, size_t old_bytes, size_t new_bytes);
/* Bytes put together from pieces; zeroed it is empty. The room doubles, so that what was copied and
 * left behind on the way is less than the whole. */
struct arena_bytes {
    char *data; /* NULL while there is none */
    size_t len;
    size_t capacity;
};
void arena_append(struct arena *arena, struct arena_bytes *bytes, struct slice piece);
static inline struct slice
arena_bytes_slice(const struct arena_bytes *bytes)
{
    return bytes->len == 0 ? SLICE_EMPTY : slice_of(bytes->data, bytes->len);
}
struct slice arena_dup(struct arena *arena, struct slice s);
/* NUL-terminated copy; bytes after an embedded NUL are kept but unseen by C. */
char *arena_str(struct arena *arena, struct slice s);
struct slice arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
void arena_on_dispose(struct arena *arena, arena_dispose_fn *fn, void *arg);

#define ARENA_NEW(arena, type) ((type *)arena_zalloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_zalloc((arena), sizeof(type) * (count)))

#endif
