/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which plugin hosts which component type: the manifests found in the plugin folders. Main thread.
 */
#ifndef SUPERVISOR_CATALOGUE_H
#define SUPERVISOR_CATALOGUE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "config/text_list.h"
#include "supervisor/manifest.h"

struct catalogue {
    struct arena arena;
    struct text_list folders;    /* that were added */
    struct manifest **manifests; /* counted */
    size_t count;
    size_t broken;      /* manifests that could not be read; each was logged */
    struct map by_type; /* "state.redis/v1" → struct manifest, borrowed */
    struct map by_name;
};

void catalogue_init(struct catalogue *catalogue);
void catalogue_fini(struct catalogue *catalogue);

/* Reads `path`/plugin.yaml, or else the one of every folder in `path`, in order of name. What was
 * added before wins over a later plugin of the same name or type; that, and manifests that cannot
 * be read, are logged and passed over. A folder that does not exist adds nothing. */
void catalogue_add_folder(struct catalogue *catalogue, const char *path);

/* Reads the folders again: what is there now is found from now on. A manifest that has become
 * unreadable stays what it was. False if nothing has changed. */
bool catalogue_read_again(struct catalogue *catalogue);
/* Every folder where a plugin lies or might. */
typedef void catalogue_folder_fn(void *arg, const char *folder);
void catalogue_each_folder(const struct catalogue *catalogue, catalogue_folder_fn *fn, void *arg);

/* NULL if there is none. An empty version means v1. Valid until the next reading. Types of any name
 * are there while their plugin's folder is. */
const struct manifest *
catalogue_find(const struct catalogue *catalogue, struct slice type, struct slice version);
const struct manifest *catalogue_find_name(const struct catalogue *catalogue, struct slice name);

/* Where the running program lies, without a slash at the end; in the arena, NULL if Linux does not
 * say (no /proc). `../plugins` from there is the default plugin folder. */
const char *catalogue_program_folder(struct arena *arena);

#endif
