/* SPDX-License-Identifier: Apache-2.0 */
/* How many replicas a server has. Pure. */
#ifndef REDIS_REPLICATION_H
#define REDIS_REPLICATION_H

#include <remora_plugin.h>

/* By its answer to INFO replication: those that are connected. */
unsigned replication_count(struct remora_slice info);

#endif
