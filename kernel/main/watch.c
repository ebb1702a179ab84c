/* SPDX-License-Identifier: Apache-2.0 */
/* Folders under watch; see watch.h. */
#include "main/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

#define SCOPE "dapr.runtime.hotreload"

enum {
    EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ONLYDIR,
    EVENT_BYTES = 2048,
};

struct watched {
    int id;
    unsigned kinds;
};

bool
watch_open(struct watch *watch)
{
    *watch = (struct watch){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
    return watch->fd >= 0;
}

void
watch_close(struct watch *watch)
{
    if (watch->fd >= 0)
        (void)close(watch->fd); /* nothing was written to it */
    free(watch->items);
    *watch = (struct watch){ .fd = -1 };
}

static struct watched *
find(const struct watch *watch, int id)
{
    for (size_t i = 0; i < watch->count; i++)
        if (watch->items[i].id == id)
            return &watch->items[i];
    return NULL;
}

/* A folder of plugins may be any folder, with any number of others in it. */
static void
add(struct watch *watch, int id, unsigned kinds, const char *folder)
{
    if (watch->count == LIMIT_watched_folders_max) {
        log_warn(SCOPE, "cannot watch %s: there are too many folders", folder);
        (void)inotify_rm_watch(watch->fd, id); /* it was added a moment ago */
        return;
    }
    watch->items = realloc(watch->items, (watch->count + 1) * sizeof *watch->items);
    if (watch->items == NULL)
        abort();
    watch->items[watch->count++] = (struct watched){ .id = id, .kinds = kinds };
}

void
watch_folder(struct watch *watch, const char *folder, unsigned kinds, bool is_optional)
{
    int id = watch->fd < 0 ? -1 : inotify_add_watch(watch->fd, folder, EVENTS);
    if (watch->fd < 0 || (id < 0 && is_optional && (errno == ENOENT || errno == ENOTDIR)))
        return;
    if (id < 0) {
        log_warn(SCOPE, "cannot watch %s (errno %d): changes in it are not seen", folder, errno);
        return;
    }
    struct watched *known = find(watch, id);
    if (known != NULL)
        known->kinds |= kinds;
    else
        add(watch, id, kinds, folder);
}

/* Linux knows which folder a path leads to now: adding it once more gives the number it has. */
bool
watch_is_folder(const struct watch *watch, int id, const char *folder)
{
    return inotify_add_watch(watch->fd, folder, EVENTS) == id;
}

bool
watch_folder_of(const char *path, char ret_folder[WATCH_FOLDER_BYTES])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        memcpy(ret_folder, slash == NULL ? "." : "/", 2);
        return true;
    }
    size_t len = (size_t)(slash - path);
    if (len >= WATCH_FOLDER_BYTES)
        return false;
    memcpy(ret_folder, path, len);
    ret_folder[len] = '\0';
    return true;
}

static void
tell(struct watch *watch, const struct inotify_event *event, watch_event_fn *fn, void *arg)
{
    struct watched *watched = find(watch, event->wd);
    if ((event->mask & IN_Q_OVERFLOW) != 0)
        fn(arg, 0, -1, NULL);
    else if (watched != NULL && (event->mask & IN_IGNORED) != 0)
        *watched = watch->items[--watch->count]; /* the folder is no more, and its number neither */
    else if (watched != NULL && event->len > 0)
        fn(arg, watched->kinds, event->wd, event->name);
}

void
watch_read(struct watch *watch, watch_event_fn *fn, void *arg)
{
    _Alignas(struct inotify_event) char buffer[EVENT_BYTES];
    ssize_t got = read(watch->fd, buffer, sizeof buffer);
    for (ssize_t at = 0; at < got;) {
        const struct inotify_event *event = (const void *)(buffer + at);
        at += (ssize_t)(sizeof *event + event->len);
        tell(watch, event, fn, arg);
    }
}
