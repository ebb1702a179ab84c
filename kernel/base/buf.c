/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffer with a maximum; see buf.h. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sanitize.h"

enum {
    FIRST_BYTES = 256,
    POOL_FIRST_BYTES = 16 * 1024, /* smaller blocks are malloc's strength */
    POOL_CLASSES = 4,             /* up to 128 KiB, each twice the one before, and a little more: */
    SLACK_BYTES = 1024,           /* messages often are a power of two behind a head */
    POOL_CLASS_BYTES = 256 * 1024,
    POOL_BLOCKS_MAX = POOL_CLASS_BYTES / POOL_FIRST_BYTES,
};

/* Large blocks that this thread has let go of: malloc would give their pages back to the system and
 * fault them in again for the next message. Not under sanitizers, which want to see them freed. */
struct pool {
    void *blocks[POOL_BLOCKS_MAX];
    unsigned count;
};
static _Thread_local struct pool pools[POOL_CLASSES];

/* NULL: blocks of this size are not pooled. */
static struct pool *
pool_of(size_t capacity)
{
#if !defined(HAS_ASAN) && !defined(HAS_TSAN)
    for (size_t i = 0; i < POOL_CLASSES; i++)
        if (capacity == ((size_t)POOL_FIRST_BYTES << i) + SLACK_BYTES)
            return &pools[i];
#else
    (void)capacity;
    (void)pools;
#endif
    return NULL;
}

static void *
block_take(size_t capacity)
{
    struct pool *pool = capacity < POOL_FIRST_BYTES ? NULL : pool_of(capacity);
    if (pool != NULL && pool->count > 0)
        return pool->blocks[--pool->count];
    void *block = malloc(capacity + 1); /* buf_printf() needs room for a NUL behind the end */
    if (block == NULL)
        abort();
    return block;
}

static void
block_put(void *block, size_t capacity)
{
    struct pool *pool = capacity < POOL_FIRST_BYTES ? NULL : pool_of(capacity);
    if (block != NULL && pool != NULL && pool->count < POOL_CLASS_BYTES / capacity)
        pool->blocks[pool->count++] = block;
    else
        free(block);
}

/* The buffer's memory is given up. */
static void
put_memory(struct buf *buf)
{
    if (buf->is_secret && buf->data != NULL)
        explicit_bzero(buf->data, buf->touched);
    block_put(buf->data, buf->capacity);
}

void
buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){ .max = max };
}

void
buf_fini(struct buf *buf)
{
    put_memory(buf);
    *buf = (struct buf){ .max = buf->max, .is_secret = buf->is_secret };
}

void
buf_wipe(struct buf *buf)
{
    if (!buf->is_secret || buf->len > 0 || buf->touched == 0)
        return;
    explicit_bzero(buf->data, buf->touched);
    buf->touched = 0;
}

void
buf_clear(struct buf *buf)
{
    buf->start = 0;
    buf->len = 0;
}

void
buf_release(struct buf *buf)
{
    if (buf->len == 0)
        buf_fini(buf);
}

/* At least `needed`, and about twice what there was. */
static size_t
larger_than(size_t capacity, size_t needed)
{
    for (size_t bytes = FIRST_BYTES;; bytes *= 2) {
        size_t block = bytes < POOL_FIRST_BYTES ? bytes : bytes + SLACK_BYTES;
        if (block >= needed && block > capacity)
            return block;
    }
}

static void
make_room(struct buf *buf, size_t bytes)
{
    size_t needed = buf->len + bytes;
    if (buf->data != NULL && needed <= buf->capacity && buf->start >= buf->len) {
        /* As many consumed bytes as content: the move is paid for by what was consumed. */
        if (buf->len > 0)
            memcpy(buf->data, buf->data + buf->start, buf->len);
        buf->start = 0;
        return;
    }
    size_t capacity = larger_than(buf->capacity, needed);
    if (capacity > buf->max && needed <= buf->max)
        capacity = buf->max;
    char *data = block_take(capacity);
    if (buf->data != NULL && buf->len > 0)
        memcpy(data, buf->data + buf->start, buf->len);
    put_memory(buf);
    buf->data = data;
    buf->start = 0;
    buf->capacity = capacity;
    buf->touched = buf->len;
}

char *
buf_reserve(struct buf *buf, size_t bytes)
{
    if (bytes > buf->max || buf->len > buf->max - bytes)
        return NULL;
    if (buf->capacity - buf->start - buf->len < bytes || buf->data == NULL)
        make_room(buf, bytes);
    return buf->data + buf->start + buf->len;
}

void
buf_commit(struct buf *buf, size_t bytes)
{
    assert(buf->start + buf->len + bytes <= buf->capacity);
    buf->len += bytes;
    if (buf->touched < buf->start + buf->len)
        buf->touched = buf->start + buf->len;
}

void
buf_consume(struct buf *buf, size_t bytes)
{
    assert(bytes <= buf->len);
    buf->len -= bytes;
    buf->start = buf->len == 0 ? 0 : buf->start + bytes;
}

bool
buf_append(struct buf *buf, struct slice s)
{
    char *at = buf_reserve(buf, s.len);
    if (at == NULL)
        return false;
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    buf_commit(buf, s.len);
    return true;
}

bool
buf_append_byte(struct buf *buf, char byte)
{
    return buf_append(buf, slice_of(&byte, 1));
}

bool
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *at = buf_reserve(buf, (size_t)len);
    if (at != NULL) {
        (void)vsnprintf(at, (size_t)len + 1, format, again); /* length is known */
        buf_commit(buf, (size_t)len);
    }
    va_end(again);
    return at != NULL;
}

void
buf_swap(struct buf *a, struct buf *b)
{
    const struct buf was = *a;
    assert(a->len <= b->max && b->len <= a->max);
    *a = (struct buf){ .data = b->data,
                       .start = b->start,
                       .len = b->len,
                       .capacity = b->capacity,
                       .max = was.max,
                       .touched = b->touched,
                       .is_secret = was.is_secret || b->is_secret };
    *b = (struct buf){ .data = was.data,
                       .start = was.start,
                       .len = was.len,
                       .capacity = was.capacity,
                       .max = b->max,
                       .touched = was.touched,
                       .is_secret = b->is_secret || was.is_secret };
}

char *
buf_take(struct buf *buf, size_t *ret_len)
{
    if (buf->start > 0 && buf->len > 0)
        memmove(buf->data, buf->data + buf->start, buf->len);
    char *data = buf->data;
    *ret_len = buf->len;
    *buf = (struct buf){ .max = buf->max, .is_secret = buf->is_secret };
    return data;
}
