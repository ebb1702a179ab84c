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

#include "http/h2_conn.h"

enum {
    PAGE_BYTES = 4096,
    FRAMES_BYTES_MIN = 16 * 1024, /* nothing else of a session is as large */
    STREAMS_BYTES = 4096,         /* as libnghttp2 makes the table at first */
    TRIM_CONNS = 256,             /* fewer are not worth looking for their memory */
};

static size_t
whole_pages(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void *
on_malloc(size_t bytes, void *arg)
{
    (void)arg;
    return malloc(bytes);
}

static void
on_free(void *block, void *arg)
{
    struct h2_conn *conn = arg;
    if (block != NULL && block == conn->memory.frames)
        conn->memory.frames = NULL;
    if (block != NULL && block == conn->memory.streams)
        conn->memory.streams = NULL;
    free(block);
}

static void *
on_calloc(size_t count, size_t bytes, void *arg)
{
    struct h2_conn *conn = arg;
    if (conn->memory.streams != NULL || count == 1 || count * bytes != STREAMS_BYTES)
        return calloc(count, bytes);
    void *block = aligned_alloc(PAGE_BYTES, STREAMS_BYTES);
    if (block != NULL)
        memset(block, 0, STREAMS_BYTES);
    conn->memory.streams = block;
    return block;
}

static void *
on_realloc(void *block, size_t bytes, void *arg)
{
    struct h2_conn *conn = arg;
    if (block == NULL && bytes >= FRAMES_BYTES_MIN && conn->memory.frames == NULL) {
        conn->memory.frames = aligned_alloc(PAGE_BYTES, whole_pages(bytes));
        return conn->memory.frames;
    }
    if (block != NULL && block == conn->memory.frames)
        conn->memory.frames = NULL; /* one that has grown is kept as it is */
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
    buf_release(&conn->stream.out);
    /* They fail for pages that are locked, which then just stay. */
    if (memory->frames != NULL)
        (void)madvise(memory->frames, whole_pages(FRAMES_BYTES_MIN), MADV_DONTNEED);
    if (memory->streams != NULL && is_zeros(memory->streams, STREAMS_BYTES))
        (void)madvise(memory->streams, STREAMS_BYTES, MADV_DONTNEED);
}

void
h2_memory_lost_conn(struct h2_server *server)
{
    if (server->conn_count_high < TRIM_CONNS || server->conn_count > server->conn_count_high / 2)
        return;
    server->conn_count_high = server->conn_count;
    (void)malloc_trim(0); /* whether there was something does not matter */
}
