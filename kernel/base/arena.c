/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocation per request; see arena.h. */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sanitize.h"

enum {
    CHUNK_BYTES = 4096 - 32, /* with malloc's header, a page */
    ALIGNMENT = 16,
};

struct arena_chunk {
    struct arena_chunk *older;
    size_t capacity;
    _Alignas(16) char bytes[];
};

struct arena_disposer {
    struct arena_disposer *older;
    arena_dispose_fn *fn;
    void *arg;
};

void
arena_init(struct arena *arena)
{
    *arena = (struct arena){ 0 };
}

static void
run_disposers(struct arena *arena)
{
    while (arena->disposers != NULL) {
        struct arena_disposer *d = arena->disposers;
        arena->disposers = d->older;
        d->fn(d->arg);
    }
}

static void
wipe_chunks(const struct arena *arena)
{
    for (struct arena_chunk *c = arena->chunks; c != NULL; c = c->older) {
        memory_allow(c->bytes, c->capacity);
        explicit_bzero(c->bytes, c->capacity);
    }
}

/* Frees all chunks but `kept`. */
static void
free_chunks(struct arena *arena, const struct arena_chunk *kept)
{
    if (arena->is_secret)
        wipe_chunks(arena);
    arena->is_secret = false;
    struct arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        if (chunk != kept) {
            arena->total_bytes -= chunk->capacity;
            free(chunk);
        }
        chunk = older;
    }
}

void
arena_reset(struct arena *arena)
{
    run_disposers(arena);
    struct arena_chunk *kept = NULL;
    for (struct arena_chunk *c = arena->chunks; c != NULL; c = c->older)
        if (c->capacity == CHUNK_BYTES - sizeof(struct arena_chunk))
            kept = c;
    free_chunks(arena, kept);
    arena->chunks = kept;
    arena->next = arena->end = NULL;
    if (kept != NULL) {
        kept->older = NULL;
        arena->next = kept->bytes;
        arena->end = kept->bytes + kept->capacity;
        memory_forbid(kept->bytes, kept->capacity);
    }
}

void
arena_fini(struct arena *arena)
{
    run_disposers(arena);
    free_chunks(arena, NULL);
    arena_init(arena);
}

static void
add_chunk(struct arena *arena, size_t at_least)
{
    size_t capacity = CHUNK_BYTES - sizeof(struct arena_chunk);
    if (at_least > capacity)
        capacity = at_least;
    struct arena_chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk == NULL)
        abort();
    chunk->capacity = capacity;
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->total_bytes += capacity;
    arena->next = chunk->bytes;
    arena->end = chunk->bytes + capacity;
    memory_forbid(chunk->bytes, capacity);
}

void *
arena_alloc(struct arena *arena, size_t bytes)
{
    assert(bytes <= SIZE_MAX / 2);
    size_t rounded = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (rounded == 0)
        rounded = ALIGNMENT;
    if ((size_t)(arena->end - arena->next) < rounded)
        add_chunk(arena, rounded);
    void *p = arena->next;
    arena->next += rounded;
    memory_allow(p, bytes); /* not the padding */
    return p;
}

void *
arena_zalloc(struct arena *arena, size_t bytes)
{
    void *p = arena_alloc(arena, bytes);
    memset(p, 0, bytes);
    return p;
}

void *
arena_grow(struct arena *arena, void *old, size_t old_bytes, size_t new_bytes)
{
    size_t held = (old_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (old != NULL && (char *)old + held == arena->next) {
        size_t wanted = (new_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        if (wanted <= (size_t)(arena->end - (char *)old)) {
            arena->next = (char *)old + wanted;
            memory_forbid(old, held > wanted ? held : wanted);
            memory_allow(old, new_bytes);
            return old;
        }
    }
    void *p = arena_alloc(arena, new_bytes);
    if (old != NULL && old_bytes > 0)
        memcpy(p, old, old_bytes < new_bytes ? old_bytes : new_bytes);
    return p;
}

void
arena_append(struct arena *arena, struct arena_bytes *bytes, struct slice piece)
{
    if (piece.len == 0)
        return;
    if (bytes->capacity - bytes->len < piece.len) {
        size_t capacity = bytes->capacity < CHUNK_BYTES ? CHUNK_BYTES : bytes->capacity * 2;
        while (capacity - bytes->len < piece.len)
            capacity *= 2;
        bytes->data = arena_grow(arena, bytes->data, bytes->capacity, capacity);
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->len, piece.data, piece.len);
    bytes->len += piece.len;
}

struct slice
arena_dup(struct arena *arena, struct slice s)
{
    return slice_of(arena_str(arena, s), s.len);
}

char *
arena_str(struct arena *arena, struct slice s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct slice
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    (void)vsnprintf(text, (size_t)len + 1, format, again); /* length is known */
    va_end(again);
    return slice_of(text, (size_t)len);
}

void
arena_on_dispose(struct arena *arena, arena_dispose_fn *fn, void *arg)
{
    struct arena_disposer *d = arena_alloc(arena, sizeof *d);
    *d = (struct arena_disposer){ .older = arena->disposers, .fn = fn, .arg = arg };
    arena->disposers = d;
}
