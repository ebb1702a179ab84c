/* SPDX-License-Identifier: Apache-2.0 */
/* Brokers behind sockets. */
#ifndef BRIDGE_PUBSUB_H
#define BRIDGE_PUBSUB_H

#include <remora_plugin.h>

extern const struct remora_pubsub_ops pubsub_ops;
/* Resumes what a generation before, or another sidecar, has paused. */
void pubsub_start(remora_call *call, void *self);
/* Pauses deliveries if the broker knows how, then ends the subscriptions. */
void pubsub_quiesce(remora_call *call, void *self);

#endif
