/* SPDX-License-Identifier: Apache-2.0 */
/* What the system says of this process: processor time, memory, descriptors, network. Reads /proc,
 * so it blocks for some microseconds to milliseconds. Any thread. */
#ifndef TELEMETRY_PROCESS_H
#define TELEMETRY_PROCESS_H

#include "telemetry/exposition.h"

/* What cannot be read is left out. */
void process_sample(struct metric_samples *samples);

#endif
