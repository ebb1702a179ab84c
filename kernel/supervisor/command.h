/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a plugin is started: the command line of remora-exec and the environment, made from the
 * manifest. Pure but for the lookups in `environment`.
 */
#ifndef SUPERVISOR_COMMAND_H
#define SUPERVISOR_COMMAND_H

#include <sys/types.h>

#include "base/arena.h"
#include "config/cli.h"
#include "config/env.h"
#include "supervisor/manifest.h"

struct command_path {
    const char *path; /* absolute */
    enum manifest_access access;
};

struct command_args {
    const struct manifest *manifest;
    const char *exec_path; /* of remora-exec */
    enum sandbox_mode sandbox;
    struct env environment;
    const struct command_path *paths; /* beyond what the manifest itself names */
    size_t path_count;
    const char *socket_path;
    const char *token;
    pid_t parent;
};

struct command {
    char **argv; /* NULL at the end, as all of exec wants it */
    char **envp;
};

struct command command_build(const struct command_args *args, struct arena *arena);

#endif
