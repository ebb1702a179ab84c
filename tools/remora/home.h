/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data directory: what `remora run` gives a sidecar that was told nothing. In it lie
 * components/ and config.yaml (ordinary YAML, the user's to change), and data/ with the databases.
 * What exists is never written again.
 */
#ifndef REMORA_HOME_H
#define REMORA_HOME_H

#include <stdbool.h>

#include "base/arena.h"

struct home {
    const char *path; /* absolute */
    const char *components;
    const char *config; /* which may not be there */
    bool is_daprs;      /* of --runtime-path: made by Dapr's own tools, if they were there */
};

/* What is to be written, as bits. */
enum { HOME_COMPONENTS = 1, HOME_CONFIG = 2 };

/* `dir` as given with --dir, or NULL: $XDG_DATA_HOME/remora, else $HOME/.local/share/remora. False:
 * said why on stderr. Looks only. */
bool home_find(struct arena *arena, const char *dir, struct home *ret_home) WARN_UNUSED;

/* Writes what is missing of `parts`; `say` hears the path of each file that was written. False: as
 * above. */
bool home_init(struct arena *arena, const struct home *home, unsigned parts,
               void (*say)(void *arg, const char *path), void *arg) WARN_UNUSED;

bool path_is_folder(const char *path);
/* `path` seen from `folder`; `~` and `~/…` are the user's own folder. */
const char *path_from(struct arena *arena, const char *folder, const char *path);
/* The absolute form of a path that need not exist. NULL: there is no current folder. */
const char *path_absolute(struct arena *arena, const char *path);

#endif
