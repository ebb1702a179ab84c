/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to Dapr's scheduler and placement, as the process starts and ends them. Main
 * thread only.
 */
#ifndef MAIN_CONTROL_PLANE_H
#define MAIN_CONTROL_PLANE_H

#include <stdbool.h>

struct runtime;

/* After the workers are made and the internal port is bound: what the options say. False: a fatal
 * line was logged. */
bool control_plane_init(struct runtime *runtime);
/* Once the workers run and components are ready; calls back when everything has answered that the
 * sidecar waits for, which may be at once. */
void control_plane_start(struct runtime *runtime, void (*on_ready)(struct runtime *runtime));
/* Before the workers end. */
void control_plane_stop(struct runtime *runtime);
/* Afterwards. */
void control_plane_free(struct runtime *runtime);

#endif
