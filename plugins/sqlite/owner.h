/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has claimed a message: a number, with a lock on the byte of that number in a file next to the
 * database. The system lets go of the lock when the process ends, however it ends, so that the
 * others see at once whose claims are void.
 */
#ifndef SQLITE_PLUGIN_OWNER_H
#define SQLITE_PLUGIN_OWNER_H

#include <stdbool.h>
#include <stdint.h>

struct owner {
    int64_t number; /* > 0 */
    int fd;         /* -1: nothing is known of others */
};

/* `path` is that of the database, NULL if it is in memory. Without the file there are no locks:
 * returns false, errno says why, and claims end by their time alone. */
bool owner_init(struct owner *owner, const char *path);
void owner_fini(struct owner *owner);

/* Has the process of that number ended? Any thread. */
bool owner_is_gone(const struct owner *owner, int64_t number);

#endif
