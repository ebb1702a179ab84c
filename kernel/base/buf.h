/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes being built or received: a growing heap buffer with a maximum fixed at creation. Appending
 * beyond the maximum fails and leaves the buffer as it was. Bytes are consumed from the front
 * without moving the rest each time. One thread at a time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct buf {
    char *data;   /* owned; NULL while empty and released */
    size_t start; /* consumed bytes at the front */
    size_t len;   /* readable bytes from start */
    size_t capacity;
    size_t max;     /* len never exceeds it */
    size_t touched; /* bytes at the front of the memory that have held content */
    bool is_secret; /* set behind buf_init(): content is wiped when its memory is given up */
};

void buf_init(struct buf *buf, size_t max);
void buf_fini(struct buf *buf);

static inline struct slice
buf_slice(const struct buf *buf)
{
    return slice_of(buf->data == NULL ? "" : buf->data + buf->start, buf->len);
}

/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *buf);
/* Gives the memory back if the buffer is empty. */
void buf_release(struct buf *buf);

/* Room for `bytes` more after the content; NULL if that exceeds the maximum. What was written there
 * is added with buf_commit(). */
char *buf_reserve(struct buf *buf, size_t bytes) WARN_UNUSED;
void buf_commit(struct buf *buf, size_t bytes);
/* Overwrites what has been consumed, if the buffer is secret and holds nothing else. */
void buf_wipe(struct buf *buf);
/* Drops bytes from the front. */
void buf_consume(struct buf *buf, size_t bytes);

bool buf_append(struct buf *buf, struct slice s) WARN_UNUSED;
bool buf_append_byte(struct buf *buf, char byte) WARN_UNUSED;
bool buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3) WARN_UNUSED;

/* Exchanges contents and memory; each keeps its maximum, which the other's content must fit. */
void buf_swap(struct buf *a, struct buf *b);
/* Moves the content out as one malloc'ed block (the caller frees it); the buffer is empty after. */
char *buf_take(struct buf *buf, size_t *ret_len);

#endif
