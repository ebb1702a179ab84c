/* SPDX-License-Identifier: Apache-2.0 */
/* The sidecars that run on this machine for this user. */
#ifndef REMORA_SIDECARS_H
#define REMORA_SIDECARS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"

/* What is not known is 0 or NULL. Texts are harmless() only where they are shown. */
struct sidecar {
    const char *app_id;
    pid_t pid;
    pid_t launcher_pid; /* the `remora run` that looks after it */
    pid_t app_pid;
    uint16_t http_port, grpc_port, app_port;
    bool has_metrics;
    const char *http_socket; /* in place of the port */
    const char *command;     /* the application's */
    const char *template;    /* the run file */
    const char *app_log, *sidecar_log;
    uint64_t body_bytes_max, head_bytes_max;
    int64_t started_unix_ms;
};

/* Oldest first. `run_dir` as for remorad, NULL: the usual places. Of one that does not answer
 * stderr has it, and it is left out. */
struct sidecar *sidecars_find(struct arena *arena, const char *run_dir, size_t *ret_count);

/* The newest of that app id; NULL: there is none, and that was said. */
const struct sidecar *
sidecars_named(const struct sidecar *sidecars, size_t count, const char *app_id);

/* The commands; each takes the words behind its name, returns an exit code. */
int list_command(struct arena *arena, char **argv);
int stop_command(struct arena *arena, char **argv);
int invoke_command(struct arena *arena, char **argv);
int publish_command(struct arena *arena, char **argv);

#endif
