/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of processes. */
#ifndef REMORA_PROCESSES_H
#define REMORA_PROCESSES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"

/* Its first child; 0 if there is none within a second, or that cannot be known. */
pid_t process_child_of(pid_t parent);
/* 0 if there is none. */
pid_t process_parent_of(pid_t pid);
/* Its program's file name, without folders, is `name`. */
bool process_runs(pid_t pid, const char *name);
/* Its arguments, NULL at the end; NULL if they cannot be had. */
char **process_arguments(struct arena *arena, pid_t pid, size_t *ret_count);

#endif
