/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs of a sidecar and an application, from the first start to the end of the last one. In each
 * pair the sidecar comes first and goes last; when one of the two ends, the other is stopped. A
 * signal stops all pairs, a second one kills what is left. Whatever an application started ends
 * with it, and all of it with this process, however that ends.
 */
#ifndef REMORA_LAUNCH_H
#define REMORA_LAUNCH_H

#include <stddef.h>

#include "plan.h"

/* Returns the exit code: of a single pair the application's; of several the first that is not 0.
 * `is_template`: the lines say which application they are of, and one that cannot start stops all
 * others. */
int launch_run(struct plan *plans, size_t count, bool is_template);

#endif
