/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard output shared by several programs: what each prints becomes whole lines with a mark in
 * front, in the order in which they came. Nothing is dropped: when the reader of standard output
 * does not keep up, the programs are held back, and a signal is still heard meanwhile.
 */
#ifndef REMORA_OUTLET_H
#define REMORA_OUTLET_H

#include <ev.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/macros.h"

enum outlet_event { OUTLET_FULL, OUTLET_FREE, OUTLET_GONE };

struct outlet {
    struct ev_loop *loop;
    ev_io writable;
    int fd;
    bool is_own_fd;
    bool is_terminal; /* colours make sense */
    bool is_full;
    bool is_gone; /* nobody reads any more: what comes is dropped */
    struct buf queue;
    /* FULL: hold the writers back until FREE. GONE: the reader has left. */
    void (*on_event)(void *arg, enum outlet_event event);
    void *arg;
};

void outlet_init(struct outlet *outlet, struct ev_loop *loop,
                 void (*on_event)(void *arg, enum outlet_event event), void *arg);
void outlet_fini(struct outlet *outlet);
/* Nothing is left to be written. */
bool outlet_is_empty(const struct outlet *outlet);
/* Forgets what is left. */
void outlet_drop(struct outlet *outlet);

/* A line of our own. */
void outlet_say(struct outlet *outlet, const char *format, ...) PRINTF_LIKE(2, 3);

/* One program's output. */
struct stream {
    struct outlet *outlet; /* NULL: not shown */
    int log_fd;            /* -1: to no file */
    const char *mark;      /* "== APP ==" */
    unsigned colour;       /* of the mark: the number of an escape sequence */
    struct buf line;       /* without an end so far */
};

void stream_init(struct stream *stream, struct outlet *outlet, const char *mark, unsigned colour);
/* Closes the log. */
void stream_fini(struct stream *stream);
/* Bytes as they came. A line longer than 64 KiB is divided. */
void stream_feed(struct stream *stream, struct slice bytes);
/* The program is gone: a last line without an end gets one. */
void stream_flush(struct stream *stream);

#endif
