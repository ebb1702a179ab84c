/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run directory: one folder of mode 0700 a kernel process, holding its sockets. Control thread.
 */
#ifndef SUPERVISOR_RUNDIR_H
#define SUPERVISOR_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
    SOCKET_PATH_BYTES_MAX = 108, /* of struct sockaddr_un, with the NUL */
    RUNDIR_NAME_BYTES_MAX = 24,  /* of a file in it, so that the whole stays below */
};

struct rundir {
    char path[SOCKET_PATH_BYTES_MAX];
    int lock_fd; /* held as long as this process lives: the sign that the folder is in use */
};

struct rundir_config {
    const char *wanted;          /* --run-dir, or NULL */
    const char *xdg_runtime_dir; /* $XDG_RUNTIME_DIR, or NULL */
};

/* Makes a fresh folder in the first usable of: wanted, XDG_RUNTIME_DIR, /run/remora, /tmp. A wanted
 * one is created if need be; if it cannot be used that is an error, except that one whose path is
 * too long for sockets is replaced with a warning. Folders of dead processes found beside are
 * removed. */
err_t rundir_open(const struct rundir_config *config, struct rundir *ret_rundir,
                  struct diag *diag) WARN_UNUSED;
/* Removes the folder and what is in it. */
void rundir_close(struct rundir *rundir);

/* "<folder>/<name>"; false if it would be too long. */
bool rundir_path(const struct rundir *rundir, const char *name,
                 char ret_path[SOCKET_PATH_BYTES_MAX]) WARN_UNUSED;

#endif
