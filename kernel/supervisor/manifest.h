/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin.yaml, what a plugin says of itself before it runs: its program, the component types it can
 * host, and everything it may touch. What is not declared here is not granted.
 *
 *   apiVersion: remora.io/v1
 *   kind: Plugin
 *   name: sqlite                   # [a-z0-9.-], at most 40
 *   version: 1.0.0
 *   exec: sqlite                   # relative to this file; or a script with its #! line
 *   interpreter: python3           # optional: a path, or a name found in the usual bin folders
 *   types:
 *     - type: state.sqlite
 *       versions: [v1]             # v1 without
 *       replace: overlap           # overlap (default), exclusive or handover
 *       environment: none          # none (default); sidecar: Init gets the sidecar's own
 *     - type: state.*              # every type of that kind that no other plugin hosts …
 *   types_from:                    # … while this folder is there. It is opened for reading; the
 *     variable: SOCKETS_FOLDER     # variable, which is handed on, may name another one
 *     folder: /tmp/sockets
 *   network: no                    # no (default): no sockets but Unix ones
 *   files:
 *     - metadata: connectionString # the component metadata field whose value names a path …
 *       form: uri                  # … as `file:PATH?options` or a bare path; path (default): as it
 *                                  # is; existing: as it is, if there is such a file
 *       access: write              # read (default), write or execute
 *       folder: no                 # yes: its folder, so that one put in its place is seen
 *     - path: lib                  # or a fixed one, relative to this file; ~/ is the home folder
 *     - variable: TOKEN_FILE       # or one that this variable names, which is handed on; `path`
 *                                  # beside it is for when it is not set
 *   host_services: [state]         # calls into the kernel
 *   links_max: 1                   # connections, 1 to 64
 *   token: fd                      # fd (default): descriptor 3; env: REMORA_TOKEN
 *   environment: [AWS_REGION]      # variables of the kernel's environment handed on
 *   limits:
 *     memory_bytes: 64Mi
 *     open_files: 1024
 *     processes: 64                # counted for the user id as a whole
 *
 * `write` on a directory opens all beneath it; on a file, existing or not, its directory, because
 * databases keep journals beside their file. An unknown field is an error: a typing mistake must
 * not silently take a right or a limit away. A manifest is immutable once read and counted; any
 * thread reads it.
 */
#ifndef SUPERVISOR_MANIFEST_H
#define SUPERVISOR_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "config/env.h"

enum manifest_replace { REPLACE_OVERLAP, REPLACE_EXCLUSIVE, REPLACE_HANDOVER };
enum manifest_access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE };

struct manifest_list {
    const char **items;
    size_t count;
};

struct manifest_type {
    const char *type; /* lower case, as component types are compared; "state.*" is any of a kind */
    struct manifest_list versions;
    enum manifest_replace replace;
    bool wants_environment; /* the sidecar's environment, by message */
};

struct manifest_file {
    const char *metadata; /* NULL: it is there for all components */
    const char *variable; /* NULL: `path` is it */
    const char *path;     /* absolute or "~/…"; NULL with metadata, perhaps with a variable */
    bool is_uri;
    bool is_existing;
    bool is_folder; /* what is opened is the folder the file lies in */
    enum manifest_access access;
};

struct manifest {
    unsigned refs;       /* main thread */
    struct arena arena;  /* all below lives here */
    struct slice source; /* the text it was read from */
    const char *file;    /* path of plugin.yaml */
    const char *folder;  /* absolute */
    const char *name;
    const char *version;
    const char *program;     /* absolute */
    bool has_other_program;  /* than the file names */
    const char *interpreter; /* absolute, or a bare name; NULL: the program runs by itself */
    struct manifest_type *types;
    size_t type_count;
    const char *types_variable; /* NULL as the next: there is no such folder */
    const char *types_folder;   /* absolute; the default */
    struct manifest_file *files;
    size_t file_count;
    struct manifest_list host_services;
    struct manifest_list environment;
    bool has_network;
    bool token_in_environment;
    uint32_t links_max;
    uint64_t memory_bytes; /* 0: not limited, so below */
    uint64_t open_files;
    uint64_t processes;
};

/* The words in `diag` name file, line and what was expected. */
err_t
manifest_load(const char *path, struct manifest **ret_manifest, struct diag *diag) WARN_UNUSED;
/* The same from text; `path` is where it would lie. */
err_t manifest_parse(struct slice text, const char *path, struct manifest **ret_manifest,
                     struct diag *diag) WARN_UNUSED;
/* Counts it; constant is what it says. Main thread, as the next. */
struct manifest *manifest_ref(const struct manifest *manifest);
void manifest_unref(struct manifest *manifest); /* NULL is nothing */
/* Another program in the place of the one it names: a regular file that can be executed, belongs to
 * this user or to root, and that not everybody can write. ERR_CONFIG with the words. Before anybody
 * else has the manifest. */
err_t
manifest_set_program(struct manifest *manifest, struct slice path, struct diag *diag) WARN_UNUSED;

/* NULL if the plugin does not host it. `type` in any case; one of that name before one of any. */
const struct manifest_type *
manifest_find_type(const struct manifest *manifest, struct slice type, struct slice version);
/* The kind's type of any name: "state.*" of "state.redis"; in the arena, empty if it is no type. */
struct slice manifest_any_type(struct slice type, struct arena *arena);
/* Where its types of any name come from, absolute, in the arena; NULL if it has none. */
const char *
manifest_types_folder(const struct manifest *manifest, struct env environment, struct arena *arena);
bool manifest_grants(const struct manifest *manifest, struct slice host_service);

/* The file that a metadata value names, absolute, in the arena; NULL if it names none (empty,
 * ":memory:", a shared memory URI, or beyond PATH_MAX). */
const char *
manifest_file_of(const struct manifest_file *file, struct slice value, struct arena *arena);
/* What is opened to the plugin for it: the file, or its folder where the manifest says so. */
const char *
manifest_path_of(const struct manifest_file *file, struct slice value, struct arena *arena);
/* The same of a file that no metadata names; NULL if there is none in this environment. */
const char *
manifest_fixed_path(const struct manifest_file *file, struct env environment, struct arena *arena);

#endif
