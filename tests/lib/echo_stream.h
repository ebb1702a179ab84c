/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ECHO_STREAM call to a plugin process: a task writes a pattern, another reads it back, and
 * every byte is compared.
 */
#ifndef ECHO_STREAM_H
#define ECHO_STREAM_H

#include "plugin_process.h"

enum { ECHO_PERIOD = 65521, ECHO_CHUNK_BYTES = 256 * 1024 };

struct echo_stream {
    uint64_t total;
    uint64_t pause_at; /* the reader stops after so many bytes until resumed; 0: never */
    bool is_paused;
    struct wait *pause;
    struct link_call call;
    err_t open_err, write_err, read_err;
    uint64_t written, read;
    bool is_wrong;
    bool has_written, has_read, is_done;
};

/* `len` bytes of the pattern from offset `from`. */
static inline struct slice
echo_bytes(uint64_t from, size_t len)
{
    static char bytes[ECHO_PERIOD + ECHO_CHUNK_BYTES];
    if (bytes[1] == 0)
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)((i % ECHO_PERIOD) * 2654435761u >> 13);
    REQUIRE(len <= ECHO_CHUNK_BYTES);
    return slice_of(bytes + from % ECHO_PERIOD, len);
}

static inline void
echo_writer(struct task *t, void *arg)
{
    struct echo_stream *s = arg;
    while (s->write_err == OK && s->written < s->total) {
        uint64_t left = s->total - s->written;
        size_t len = left < ECHO_CHUNK_BYTES ? (size_t)left : ECHO_CHUNK_BYTES;
        s->write_err = link_call_write(t, &s->call, echo_bytes(s->written, len));
        s->written += len;
    }
    if (s->write_err == OK)
        s->write_err = link_call_end(&s->call);
    s->has_written = true;
}

static inline void
echo_pause(struct task *t, struct echo_stream *s)
{
    struct wait wait;
    wait_init(&wait, t, NULL);
    s->pause = &wait;
    s->is_paused = true;
    REQUIRE_OK(TASK_WAIT(t, &wait));
    s->is_paused = false;
    s->pause_at = 0;
}

static inline void
echo_reader(struct task *t, struct echo_stream *s)
{
    struct slice chunk;
    do {
        if (s->pause_at > 0 && s->read >= s->pause_at)
            echo_pause(t, s);
        s->read_err = link_call_body(t, &s->call, &chunk);
        if (s->read_err != OK)
            break;
        for (size_t at = 0; at < chunk.len && !s->is_wrong; at += ECHO_CHUNK_BYTES) {
            struct slice part = slice_first(slice_from(chunk, at), ECHO_CHUNK_BYTES);
            s->is_wrong = !slice_eq(part, echo_bytes(s->read + at, part.len));
        }
        s->read += chunk.len;
    } while (chunk.len > 0);
    s->has_read = true;
}

static inline void
echo_stream_main(struct task *t, void *arg)
{
    struct echo_stream *s = arg;
    struct link_args args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_ECHO_STREAM,
                              .component = PROCESS_COMPONENT,
                              .open_ended = true,
                              .message = process_echo_request(task_arena(t), 0, "") };
    s->open_err = link_call_open(t, process.link, &args, &s->call);
    if (s->open_err == OK)
        s->open_err = link_call_reply(t, &s->call);
    if (s->open_err == OK && s->call.status.code == 0) {
        REQUIRE(task_spawn(&process.worker, "writer", echo_writer, s) != NULL);
        echo_reader(t, s);
        while (!s->has_written)
            task_yield(t);
    }
    link_call_finish(&s->call);
    s->is_done = true;
}

static inline void
echo_stream_start(struct echo_stream *s)
{
    REQUIRE(task_spawn(&process.worker, "reader", echo_stream_main, s) != NULL);
}

#endif
