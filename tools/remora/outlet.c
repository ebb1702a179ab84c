/* SPDX-License-Identifier: Apache-2.0 */
/* Standard output shared by several programs; see outlet.h. */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

enum {
    QUEUE_BYTES_MAX = 64 * 1024 * 1024, /* several programs that end at once may overshoot */
    QUEUE_FULL_BYTES = 256 * 1024,
    QUEUE_FREE_BYTES = 64 * 1024,
    WRITE_BYTES = 4096, /* a pipe that is writable takes so much without blocking */
    LINE_BYTES_MAX = 64 * 1024,
};

/* --- writing -----------------------------------------------------------------------------------*/

static void
tell(struct outlet *outlet, enum outlet_event event)
{
    outlet->on_event(outlet->arg, event);
}

static void
lose(struct outlet *outlet)
{
    outlet->is_gone = true;
    outlet_drop(outlet);
    tell(outlet, OUTLET_GONE);
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct outlet *outlet = watcher->data;
    struct slice bytes = slice_first(buf_slice(&outlet->queue), WRITE_BYTES);
    ssize_t written = bytes.len == 0 ? 0 : write(outlet->fd, bytes.data, bytes.len);
    if (written < 0 && errno != EAGAIN && errno != EINTR) {
        lose(outlet);
        return;
    }
    if (written > 0)
        buf_consume(&outlet->queue, (size_t)written);
    if (outlet->queue.len == 0)
        ev_io_stop(loop, &outlet->writable);
    if (outlet->is_full && outlet->queue.len < QUEUE_FREE_BYTES) {
        outlet->is_full = false;
        tell(outlet, OUTLET_FREE);
    }
}

/* A description of our own, which we may make non-blocking without others who use the same terminal
 * or pipe noticing; for files and sockets, and where that is not allowed, what was inherited. */
static void
open_output(struct outlet *outlet)
{
    struct stat info;
    outlet->fd = STDOUT_FILENO;
    if (fstat(STDOUT_FILENO, &info) != 0 || (!S_ISFIFO(info.st_mode) && !S_ISCHR(info.st_mode)))
        return;
    int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    outlet->fd = fd;
    outlet->is_own_fd = true;
}

void
outlet_init(struct outlet *outlet, struct ev_loop *loop,
            void (*on_event)(void *arg, enum outlet_event event), void *arg)
{
    const char *no_colour = getenv("NO_COLOR"), *kind = getenv("TERM");
    *outlet = (struct outlet){ .loop = loop, .on_event = on_event, .arg = arg };
    open_output(outlet);
    outlet->is_terminal = isatty(STDOUT_FILENO) == 1 &&
                          (no_colour == NULL || no_colour[0] == '\0') &&
                          (kind == NULL || strcmp(kind, "dumb") != 0);
    buf_init(&outlet->queue, QUEUE_BYTES_MAX);
    ev_io_init(&outlet->writable, on_writable, outlet->fd, EV_WRITE);
    outlet->writable.data = outlet;
}

void
outlet_fini(struct outlet *outlet)
{
    ev_io_stop(outlet->loop, &outlet->writable);
    if (outlet->is_own_fd)
        (void)close(outlet->fd); /* all was written */
    buf_fini(&outlet->queue);
}

bool
outlet_is_empty(const struct outlet *outlet)
{
    return outlet->queue.len == 0;
}

void
outlet_drop(struct outlet *outlet)
{
    buf_clear(&outlet->queue);
    ev_io_stop(outlet->loop, &outlet->writable);
}

/* Pieces of one line. */
static void
put(struct outlet *outlet, const struct slice *pieces, size_t count)
{
    if (outlet->is_gone)
        return;
    for (size_t i = 0; i < count; i++)
        if (!buf_append(&outlet->queue, pieces[i]))
            abort(); /* the writers were asked to wait long before */
    if (outlet->queue.len > 0)
        ev_io_start(outlet->loop, &outlet->writable);
    if (!outlet->is_full && outlet->queue.len > QUEUE_FULL_BYTES) {
        outlet->is_full = true;
        tell(outlet, OUTLET_FULL);
    }
}

void
outlet_say(struct outlet *outlet, const char *format, ...)
{
    char text[3072];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut if too long */
    va_end(args);
    put(outlet, (struct slice[]){ slice_str(text), SLICE("\n") }, 2);
}

/* --- lines -------------------------------------------------------------------------------------*/

void
stream_init(struct stream *stream, struct outlet *outlet, const char *mark, unsigned colour)
{
    *stream = (struct stream){ .outlet = outlet, .log_fd = -1, .mark = mark, .colour = colour };
    buf_init(&stream->line, LINE_BYTES_MAX);
}

void
stream_fini(struct stream *stream)
{
    if (stream->log_fd >= 0 && close(stream->log_fd) != 0)
        complain("a log could not be written: %s", strerror(errno));
    stream->log_fd = -1;
    buf_fini(&stream->line);
}

/* Logs are files on a disk: waiting for it is no different from any other program's. */
static void
log_bytes(struct stream *stream, struct slice bytes)
{
    while (bytes.len > 0 && stream->log_fd >= 0) {
        ssize_t written = write(stream->log_fd, bytes.data, bytes.len);
        if (written >= 0) {
            bytes = slice_from(bytes, (size_t)written);
        } else if (errno != EINTR) {
            complain("a log could not be written: %s", strerror(errno));
            (void)close(stream->log_fd); /* it has failed already */
            stream->log_fd = -1;
        }
    }
}

static void
show_line(struct stream *stream, struct slice line)
{
    char mark[64];
    if (stream->outlet == NULL)
        return;
    if (stream->outlet->is_terminal && stream->mark[0] != '\0')
        (void)snprintf(mark, sizeof mark, "\033[%um", stream->colour); /* fits */
    else
        mark[0] = '\0';
    struct slice space = stream->mark[0] == '\0' ? SLICE_EMPTY : SLICE(" ");
    struct slice reset = mark[0] == '\0' ? SLICE_EMPTY : SLICE("\033[0m");
    put(stream->outlet,
        (struct slice[]){ slice_str(mark), slice_str(stream->mark), reset, space, line,
                          SLICE("\n") },
        6);
}

void
stream_feed(struct stream *stream, struct slice bytes)
{
    log_bytes(stream, bytes);
    while (bytes.len > 0) {
        ptrdiff_t end = slice_find_byte(bytes, '\n');
        struct slice part = end < 0 ? bytes : slice_first(bytes, (size_t)end);
        size_t room = LINE_BYTES_MAX - stream->line.len;
        bool fits = part.len <= room;
        part = slice_first(part, room);
        if (!buf_append(&stream->line, part))
            abort(); /* there was room */
        bytes = slice_from(bytes, part.len);
        if (fits && end < 0)
            return;
        bytes = slice_from(bytes, fits ? 1 : 0);
        show_line(stream, buf_slice(&stream->line));
        buf_clear(&stream->line);
    }
}

void
stream_flush(struct stream *stream)
{
    if (stream->line.len > 0)
        show_line(stream, buf_slice(&stream->line));
    buf_clear(&stream->line);
}
