/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders under watch (inotify), and what each is watched for. An event only says that something
 * happened to a name in a folder; what it was is found by looking. Main thread.
 */
#ifndef MAIN_WATCH_H
#define MAIN_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Bits: one folder may be several. */
enum watch_kind {
    WATCH_RESOURCES = 1,
    WATCH_CONFIGURATION = 2, /* files of --config lie in it */
    WATCH_PLUGINS = 4,       /* a folder of plugins' folders */
    WATCH_PLUGIN = 8,        /* a plugin lies in it, or may yet */
    WATCH_SECRETS = 16,      /* files of secret stores lie in it */
    WATCH_ANCHORS = 32,      /* the file of trust anchors lies in it */
};

enum { WATCH_FOLDER_BYTES = 1024 }; /* a longer path is not watched */

struct watch {
    int fd; /* inotify; -1: nothing is watched */
    struct watched *items;
    size_t count;
};

/* False, with errno, if Linux has no watch to give. */
bool watch_open(struct watch *watch);
void watch_close(struct watch *watch);

/* Adds to what the folder is watched for. One that is not there, or is none, is nothing where it
 * is optional; else, and if it cannot be watched, a warning. */
void watch_folder(struct watch *watch, const char *folder, unsigned kinds, bool is_optional);
/* Whether an event's `id` is of the folder that has this path now. */
bool watch_is_folder(const struct watch *watch, int id, const char *folder);
/* The folder that a path lies in; false if it is too long. */
bool watch_folder_of(const char *path, char ret_folder[WATCH_FOLDER_BYTES]);

/* `name` in the folder of that id. Without kinds and name: events were lost. */
typedef void watch_event_fn(void *arg, unsigned kinds, int id, const char *name);
/* Some of the events there are; the rest with the next call. */
void watch_read(struct watch *watch, watch_event_fn *fn, void *arg);

#endif
