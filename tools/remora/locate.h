/* SPDX-License-Identifier: Apache-2.0 */
/* Which sidecar is meant: the one named, else the newest of this user's that is alive. */
#ifndef REMORA_LOCATE_H
#define REMORA_LOCATE_H

#include <stdbool.h>
#include <time.h>

enum { LOCATION_PATH_BYTES = 108 }; /* of struct sockaddr_un */

struct location {
    char admin_path[LOCATION_PATH_BYTES];
    char events_path[LOCATION_PATH_BYTES];
};

enum found { FOUND, FOUND_NONE, FOUND_BROKEN };

/* `socket` is the path of an admin socket; `run_dir` a run directory, or the folder remorad was
 * given with --run-dir; either may be NULL. FOUND_BROKEN: what was named cannot be used, and stderr
 * has it. FOUND_NONE: nothing was named and nothing runs; nothing was said. */
enum found locate(const char *socket, const char *run_dir, struct location *ret_location);

/* Somebody accepts there. */
bool location_is_alive(const struct location *location);

/* One that is alive, and when it was started. */
typedef void located_fn(void *arg, const struct location *location, struct timespec made);
/* All of this user's in the folder that remorad was given with --run-dir; NULL: in the usual
 * places. */
void locate_all(const char *run_dir, located_fn *each, void *arg);

#endif
