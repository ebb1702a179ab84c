/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot reload: watches the resource folders and the folders of running plugins, and tells the host
 * what has changed. On by default. Main thread.
 */
#ifndef MAIN_RELOAD_H
#define MAIN_RELOAD_H

#include <ev.h>

#include "base/map.h"

struct runtime;

struct reload {
    struct runtime *runtime;
    int fd; /* inotify, -1 if it is off */
    ev_io watcher;
    ev_timer resources; /* set while changes of resources settle */
    ev_timer plugins;   /* likewise of plugins */
    struct map dirty;   /* plugin name → itself: to be exchanged */
    struct watched *watched;
    size_t watched_count;
};

/* Once the components have settled. */
void reload_start(struct reload *reload, struct runtime *runtime);
void reload_stop(struct reload *reload);

#endif
