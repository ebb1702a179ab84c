/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot reload: watches the resource folders, the folders of running plugins and the files of secret
 * stores, and tells the host what has changed. On by default; without it reload_now() is the only
 * way. Main thread.
 */
#ifndef MAIN_RELOAD_H
#define MAIN_RELOAD_H

#include <ev.h>

#include "base/map.h"

struct runtime;

struct reload {
    struct runtime *runtime; /* NULL before it is open */
    int fd;                  /* inotify, -1 if it is off */
    bool is_started;
    bool is_wanted; /* asked for before it was started */
    ev_io watcher;
    ev_timer resources;   /* set while changes of resources settle */
    ev_timer plugins;     /* likewise of plugins */
    ev_timer secrets;     /* likewise of secrets */
    struct map dirty;     /* plugin name → itself: to be exchanged */
    struct map rotated;   /* secret store → itself: its secrets have changed */
    uint64_t restless_ms; /* since when there are events without a pause */
    struct watched *watched;
    size_t watched_count;
};

/* Watches from now on, and does nothing yet. */
void reload_open(struct reload *reload, struct runtime *runtime);
/* Folders of plugins and secrets that have come up since. */
void reload_watch_plugins(struct reload *reload);
/* Once the components have settled: acts on what has happened, and on what happens. */
void reload_start(struct reload *reload);
/* Reads all resources again, whatever has happened. */
void reload_now(struct reload *reload);
void reload_stop(struct reload *reload);

#endif
