/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a sidecar while the launcher looks after its programs: each question is a
 * process of its own, which may block, and whose exit code is the answer.
 */
#ifndef REMORA_GREET_H
#define REMORA_GREET_H

#include <sys/types.h>

#include "plan.h"

/* Exits with 0 once the APIs of the sidecar answer, with 1 if they do not within a minute. -1: no
 * process can be had, and that was said. */
pid_t greet_wait(const struct plan *plan);

/* Tells the sidecar who looks after it, as attributes of its metadata. `app_keeper` is the process
 * around the application, 0 if there is none. Exits with 0 if it took them. */
pid_t
greet_tell(const struct plan *plan, pid_t app_keeper, const char *app_log, const char *sidecar_log);

#endif
