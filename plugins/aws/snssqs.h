/* SPDX-License-Identifier: Apache-2.0 */
/* pubsub.aws.snssqs: read on in broker.h. Plugin thread only. */
#ifndef AWS_PLUGIN_SNSSQS_H
#define AWS_PLUGIN_SNSSQS_H

#include <remora_plugin.h>

void snssqs_init(remora_call *call, const struct remora_config *config);
void snssqs_quiesce(remora_call *call, void *self);
void snssqs_close(void *self);
extern const struct remora_pubsub_ops snssqs_ops;

#endif
