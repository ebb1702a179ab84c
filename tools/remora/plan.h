/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be started for one application: the sidecar's command line, the application's, their
 * environments and ports. Made from flags or from an entry of a run file, whole before anything
 * starts, so that what cannot work is said at once.
 */
#ifndef REMORA_PLAN_H
#define REMORA_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "config/cli.h"
#include "config/text_list.h"
#include "home.h"
#include "ports.h"

/* Where a program's output goes, as bits. */
enum { LOG_TO_CONSOLE = 1, LOG_TO_FILE = 2 };

/* What was asked for. All memory is the arena's. */
struct wish {
    const char *app_id;     /* NULL: one is made up */
    const char *folder;     /* of the application, absolute; NULL: the current one */
    struct text_list flags; /* for the sidecar, "--name=value" */
    char **command;         /* NULL: no application */
    struct text_list env;   /* "NAME=value", on top of ours */
    const struct home *home;
    const char *template; /* the run file, absolute; NULL: none */
    unsigned app_log;     /* bits */
    unsigned sidecar_log;
};

struct plan {
    struct wish wish;
    const char *app_id;
    char **sidecar_argv; /* of remora-exec, which becomes it */
    char **sidecar_env;
    char **app_argv; /* likewise; NULL: there is no application */
    char **app_env;
    const char *app_command; /* to be shown */
    const char *exec_path;
    struct options options;                 /* as the sidecar will read them */
    struct reservation http, grpc, metrics; /* what is held until it listens */
    const char *http_socket, *grpc_socket;  /* NULL: ports */
};

/* The exit code is that of a shell when the program cannot be found. 0: done, else said why. */
int plan_make(struct arena *arena, const struct wish *wish, struct plan *ret_plan) WARN_UNUSED;
/* Gives reserved ports free; twice is once. */
void plan_release(struct plan *plan);

/* The last "--name=value" among the flags; data NULL: there is none. */
struct slice flags_get(const struct text_list *flags, const char *name);

#endif
