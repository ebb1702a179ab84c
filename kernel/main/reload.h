/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot reload: watches the resource folders, the files of the Configuration, the folders of plugins
 * and the files of secret stores, and tells host and configuration what has changed. Every so often
 * it compares everything once more, which also gives changes that have failed another try. On by
 * default; without it reload_now() is the only way. Main thread.
 */
#ifndef MAIN_RELOAD_H
#define MAIN_RELOAD_H

#include <ev.h>

#include "base/map.h"
#include "main/watch.h"

struct runtime;

struct reload {
    struct runtime *runtime; /* NULL before it is open */
    struct watch watch;      /* without a descriptor if it is off */
    bool is_started;
    bool is_wanted; /* asked for before it was started */
    ev_io watcher;
    ev_timer resources;     /* set while changes of resources settle */
    ev_timer configuration; /* likewise of the Configuration */
    ev_timer plugins;       /* likewise of plugins */
    ev_timer secrets;       /* likewise of secrets */
    ev_timer reconcile;     /* repeats */
    struct map dirty;       /* plugin name → itself: to be exchanged */
    struct map tried;       /* likewise: is being exchanged because its files have changed */
    struct map failed;      /* likewise: to be tried again */
    struct map rotated;     /* secret store → itself: its secrets have changed */
    bool has_new_plugins;   /* plugins may have come or changed: look at the catalogue again */
    uint64_t restless_ms;   /* since when there are events without a pause */
};

/* Watches from now on, and does nothing yet. */
void reload_open(struct reload *reload, struct runtime *runtime);
/* Folders of plugins and secrets that have come up since. */
void reload_watch_plugins(struct reload *reload);
/* Once the components have settled: acts on what has happened, and on what happens. */
void reload_start(struct reload *reload);
/* The Configuration decides anew what is loaded: reads the resources again. */
void reload_resources(struct reload *reload);
/* Reads everything again, whatever has happened. */
void reload_now(struct reload *reload);
/* The Configuration turns it on or off; not before it was started. */
void reload_switch(struct reload *reload);
/* The exchange of a plugin is over. */
void reload_on_swap(struct reload *reload, struct slice plugin_name, bool has_taken_over);
void reload_stop(struct reload *reload);

/* A resource of a kind that is not a component has changed: "CREATED", "UPDATED" or "DELETED". */
void reload_log_event(const char *kind, const char *event, struct slice name);

#endif
