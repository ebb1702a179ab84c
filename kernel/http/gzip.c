/* SPDX-License-Identifier: Apache-2.0 */
/* See gzip.h. Output grows with what comes out, so that a short lie about sizes costs nothing. */
#include "http/gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "async/offload.h"
#include "base/limits.h"

enum { FIRST_BYTES = 4096, GZIP_WINDOW = 16 + MAX_WBITS, MEMORY_LEVEL = 8 };

/* One message's way through zlib, on any thread. */
struct job {
    struct slice in;
    size_t max;
    char *data; /* from malloc */
    size_t len;
    size_t capacity;
};

static bool
grow(struct job *job)
{
    /* One byte more than allowed tells "just fits" from "too large". */
    size_t most = job->max + 1;
    if (job->capacity == most)
        return false;
    size_t capacity = job->capacity == 0 ? FIRST_BYTES : job->capacity * 2;
    if (capacity > most)
        capacity = most;
    char *data = realloc(job->data, capacity);
    if (data == NULL)
        abort();
    job->data = data;
    job->capacity = capacity;
    return true;
}

static void
give_room(z_stream *z, const struct job *job)
{
    size_t room = job->capacity - job->len;
    z->next_out = (unsigned char *)job->data + job->len;
    z->avail_out = room > UINT_MAX ? UINT_MAX : (unsigned)room;
}

static err_t
inflate_all(z_stream *z, struct job *job)
{
    for (;;) {
        if (job->len == job->capacity && !grow(job))
            return ERR_TOO_LARGE;
        give_room(z, job);
        unsigned before = z->avail_out;
        int got = inflate(z, Z_NO_FLUSH);
        job->len += before - z->avail_out;
        if (job->len > job->max)
            return ERR_TOO_LARGE;
        if (got == Z_STREAM_END)
            return z->avail_in == 0 ? OK : ERR_MALFORMED;
        if (got != Z_OK || (z->avail_in == 0 && z->avail_out > 0))
            return ERR_MALFORMED;
    }
}

/* zlib only reads the input; its struct just lacks the const. */
static z_stream
stream_of(const struct job *job)
{
    return (z_stream){ .next_in = (unsigned char *)(uintptr_t)job->in.data,
                       .avail_in = (unsigned)job->in.len };
}

static err_t
decode(void *arg)
{
    struct job *job = arg;
    z_stream z = stream_of(job);
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return ERR_INTERNAL;
    err_t err = inflate_all(&z, job);
    (void)inflateEnd(&z); /* a stream that was begun */
    return err;
}

static err_t
encode(void *arg)
{
    struct job *job = arg;
    z_stream z = stream_of(job);
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return ERR_INTERNAL;
    job->capacity = deflateBound(&z, job->in.len);
    job->data = malloc(job->capacity);
    if (job->data == NULL)
        abort();
    give_room(&z, job);
    int got = deflate(&z, Z_FINISH);
    job->len = job->capacity - z.avail_out;
    (void)deflateEnd(&z); /* a stream that was begun */
    return got == Z_STREAM_END ? OK : ERR_INTERNAL;
}

static err_t
run(struct task *t, err_t (*work)(void *job), struct job *job, struct slice *ret_bytes)
{
    if (job->in.len > UINT_MAX / 2)
        return ERR_TOO_LARGE;
    err_t err = job->in.len <= LIMIT_gzip_here_bytes ? work(job) : offload_run(t, work, job);
    if (err != OK || job->len == 0) {
        free(job->data);
        job->data = NULL;
    } else {
        arena_on_dispose(task_arena(t), free, job->data);
    }
    if (err == OK)
        *ret_bytes = job->len == 0 ? SLICE_EMPTY : slice_of(job->data, job->len);
    return err;
}

err_t
gzip_decode(struct task *t, struct slice bytes, size_t bytes_max, struct slice *ret_bytes)
{
    struct job job = { .in = bytes, .max = bytes_max };
    return run(t, decode, &job, ret_bytes); /* suspends if it is large */
}

err_t
gzip_encode(struct task *t, struct slice bytes, struct slice *ret_bytes)
{
    struct job job = { .in = bytes };
    return run(t, encode, &job, ret_bytes); /* suspends if it is large */
}
