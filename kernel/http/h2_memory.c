/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of idle connections, of which there may be ten thousand. More than half of a libnghttp2
 * session are two blocks that mean something only while there are streams or frames under way: the
 * room in which a frame is made, and the table of streams. They are allocated as whole pages here,
 * and a connection that has been idle for a while gives the pages back to the system; the next
 * frame finds them again as zeros. Everything else of the session comes from malloc.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "async/worker.h"
#include "base/clock.h"
#include "http/h2_conn.h"

enum {
    PAGE_BYTES = 4096,
    FRAMES_BYTES_MIN = 16 * 1024,      /* nothing else of a session is as large */
    FRAMES_BYTES_MAX = 5 * PAGE_BYTES, /* a frame's payload and head */
    STREAMS_BYTES = 4096,              /* as libnghttp2 makes the table at first */
    MANY = 256,                        /* fewer are not worth looking for their memory */
};

static void *
on_malloc(size_t bytes, void *arg)
{
    (void)arg;
    return malloc(bytes);
}

static void
on_free(void *block, void *arg)
{
    struct h2_memory *memory = &((struct h2_conn *)arg)->memory;
    bool is_ours = block != NULL && (block == memory->frames || block == memory->streams);
    if (!is_ours) {
        free(block);
        return;
    }
    if (block == memory->frames)
        memory->frames = NULL;
    else
        memory->streams = NULL;
    if (memory->frames == NULL && memory->streams == NULL)
        free(TAKE(memory->pages));
}

/* The table comes first; the room for frames is made behind it. */
static void *
on_calloc(size_t count, size_t bytes, void *arg)
{
    struct h2_memory *memory = &((struct h2_conn *)arg)->memory;
    if (memory->pages != NULL || count == 1 || count * bytes != STREAMS_BYTES)
        return calloc(count, bytes);
    memory->pages = aligned_alloc(PAGE_BYTES, STREAMS_BYTES + FRAMES_BYTES_MAX);
    if (memory->pages != NULL)
        memset(memory->pages, 0, STREAMS_BYTES);
    memory->streams = memory->pages;
    return memory->streams;
}

/* One that has to grow is copied to where malloc has room. */
static void *
move_out(void *block, size_t bytes, void *arg)
{
    size_t have = block == ((struct h2_conn *)arg)->memory.frames ? FRAMES_BYTES_MAX
                                                                  : STREAMS_BYTES;
    void *larger = malloc(bytes);
    if (larger == NULL)
        return NULL;
    memcpy(larger, block, have < bytes ? have : bytes);
    on_free(block, arg);
    return larger;
}

static void *
on_realloc(void *block, size_t bytes, void *arg)
{
    struct h2_memory *memory = &((struct h2_conn *)arg)->memory;
    if (block == NULL && memory->pages != NULL && memory->frames == NULL &&
        bytes >= FRAMES_BYTES_MIN && bytes <= FRAMES_BYTES_MAX) {
        memory->frames = memory->pages + STREAMS_BYTES;
        return memory->frames;
    }
    if (block != NULL && (block == memory->frames || block == memory->streams))
        return move_out(block, bytes, arg);
    return realloc(block, bytes);
}

nghttp2_mem
h2_memory_of(struct h2_conn *conn)
{
    return (nghttp2_mem){ .mem_user_data = conn,
                          .malloc = on_malloc,
                          .free = on_free,
                          .calloc = on_calloc,
                          .realloc = on_realloc };
}

static bool
is_zeros(const char *block, size_t bytes)
{
    return block[0] == 0 && memcmp(block, block + 1, bytes - 1) == 0;
}

void
h2_memory_shrink(struct h2_conn *conn)
{
    struct h2_memory *memory = &conn->memory;
    conn->is_small = true;
    stream_shrink(&conn->stream);
    /* They fail for pages that are locked, which then just stay. */
    if (memory->frames != NULL)
        (void)madvise(memory->frames, FRAMES_BYTES_MAX, MADV_DONTNEED);
    if (memory->streams != NULL && is_zeros(memory->streams, STREAMS_BYTES))
        (void)madvise(memory->streams, STREAMS_BYTES, MADV_DONTNEED);
}

/* Whether a count has fallen far from where it once was. */
static bool
has_fallen(size_t now, size_t high, size_t parts)
{
    return high >= MANY && now <= high / parts;
}

static void
on_trim(struct timer *timer)
{
    struct h2_server *server = container_of(timer, struct h2_server, trim_timer);
    server->conn_count_high = server->conn_count;
    server->stream_count_high = server->stream_count;
    server->has_dropped = false;
    (void)malloc_trim(0); /* whether there was something does not matter */
}

void
h2_memory_init(struct h2_server *server)
{
    timer_init(&server->trim_timer, on_trim);
}

/* A little later, when others have gone too. */
void
h2_memory_lost_conn(struct h2_server *server)
{
    bool is_worth_it = server->has_dropped ||
                       has_fallen(server->conn_count, server->conn_count_high, 2) ||
                       has_fallen(server->stream_count, server->stream_count_high, 8);
    if (is_worth_it && !timer_is_set(&server->trim_timer))
        timer_set(&server->worker->timers, &server->trim_timer, clock_now_ms() + LIMIT_h2_trim_ms);
}
