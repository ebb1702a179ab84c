/* SPDX-License-Identifier: Apache-2.0 */
/* pubsub.in-memory: topics that live as long as the component, each subscription with a queue of
 * its own. */
#ifndef IN_MEMORY_BROKER_H
#define IN_MEMORY_BROKER_H

#include "remora_plugin.h"

extern const struct remora_pubsub_ops broker_ops;

void broker_init(remora_call *call, const struct remora_config *config);
void broker_quiesce(remora_call *call, void *self);
void broker_close(void *self);

#endif
