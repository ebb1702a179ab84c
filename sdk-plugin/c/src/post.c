/* SPDX-License-Identifier: Apache-2.0 */
/* The one door from other threads onto the plugin's thread, and the plugin's log lines. */
#include "sdk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/wire.h"

struct letter {
    struct letter *next;
    void (*fn)(void *arg);
    void *arg;
};

static struct {
    pthread_mutex_t lock;
    struct letter *first, **last; /* under the lock */
    ev_async bell;
} mailbox = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
on_bell(struct ev_loop *loop, ev_async *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    pthread_mutex_lock(&mailbox.lock);
    struct letter *letter = TAKE(mailbox.first);
    mailbox.last = &mailbox.first;
    pthread_mutex_unlock(&mailbox.lock);
    while (letter != NULL) {
        struct letter *next = letter->next;
        letter->fn(letter->arg);
        free(letter);
        letter = next;
    }
}

void
post_init(void)
{
    mailbox.first = NULL;
    mailbox.last = &mailbox.first;
    ev_async_init(&mailbox.bell, on_bell);
    ev_async_start(sdk.loop, &mailbox.bell);
    ev_unref(sdk.loop); /* waiting for letters is no reason to live */
}

/* Late letters of threads that still run are dropped with the process. */
void
post_fini(void)
{
    ev_ref(sdk.loop);
    ev_async_stop(sdk.loop, &mailbox.bell);
}

void
remora_post(void (*fn)(void *arg), void *arg)
{
    struct letter *letter = malloc(sizeof *letter);
    if (letter == NULL)
        abort();
    *letter = (struct letter){ .fn = fn, .arg = arg };
    pthread_mutex_lock(&mailbox.lock);
    const bool was_empty = mailbox.first == NULL;
    *mailbox.last = letter;
    mailbox.last = &letter->next;
    pthread_mutex_unlock(&mailbox.lock);
    if (was_empty)
        ev_async_send(sdk.loop, &mailbox.bell);
}

/* --- log ---------------------------------------------------------------------------------------*/

/* LogEntry: level 1, message 2, component 3. */
static struct slice
encode_entry(struct arena *arena, enum remora_level level, struct slice text)
{
    char *start = arena_alloc(arena, text.len + (size_t)3 * WIRE_NUMBER_MAX);
    char *at = wire_put_number(start, 1, level);
    at = wire_put_bytes(at, 2, text);
    at = wire_put_number(at, 3, sdk.current == NULL ? 0 : sdk.current->handle);
    return slice_of(start, (size_t)(at - start));
}

void
remora_log(enum remora_level level, const char *format, ...)
{
    static char line[LIMIT_log_entry_bytes_max + 1];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args); /* cut is fine */
    va_end(args);
    if (!sdk.link.is_up || sdk.link.out.len > SDK_OUTPUT_PAUSE_BYTES) {
        fprintf(stderr, "%s\n", line); /* the sidecar captures it */
        return;
    }
    struct arena arena;
    arena_init(&arena);
    struct slice entry = encode_entry(
        &arena, level, text_clean(&arena, slice_str(line), LIMIT_log_entry_bytes_max));
    link_append(&(struct frame){ .kind = FRAME_LOG }, &entry, 1);
    arena_fini(&arena);
}
