/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when files may have changed: their folders are watched (inotify), and once these have been
 * quiet for a moment what is in the files is compared with what was. Files that appear, go, or are
 * replaced by links, as clusters do it, are seen likewise. Main thread.
 */
#ifndef SENTRY_FILE_WATCH_H
#define SENTRY_FILE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { WATCHED_FILES_MAX = 8, WATCHED_DIGEST_BYTES = 32 };

struct watched_file {
    struct slice path; /* NUL-terminated, borrowed */
    unsigned groups;   /* bits: what has to be read anew */
    unsigned char digest[WATCHED_DIGEST_BYTES];
};

struct file_watch {
    int fd; /* for poll(); -1: there is no inotify */
    struct watched_file files[WATCHED_FILES_MAX];
    size_t count;
    uint64_t first_ms; /* of the events not looked into yet; 0: there are none */
    uint64_t last_ms;
};

void file_watch_open(struct file_watch *watch);
void file_watch_close(struct file_watch *watch);
/* What is in it now is known. */
void file_watch_add(struct file_watch *watch, struct slice path, unsigned groups);

/* When fd is readable. */
void file_watch_on_event(struct file_watch *watch, uint64_t now_ms);
/* When to call file_watch_look(); UINT64_MAX: there is no need. */
uint64_t file_watch_due_ms(const struct file_watch *watch);
/* The groups of files that have changed since. */
unsigned file_watch_look(struct file_watch *watch);

#endif
