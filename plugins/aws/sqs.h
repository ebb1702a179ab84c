/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bindings.aws.sqs: a queue, written and read. What is read is deleted once it has been handled;
 * until then the queue hides it, and gives it again when its visibility timeout is over. Plugin
 * thread only.
 */
#ifndef AWS_PLUGIN_SQS_H
#define AWS_PLUGIN_SQS_H

#include <remora_plugin.h>

void sqs_init(remora_call *call, const struct remora_config *config);
void sqs_quiesce(remora_call *call, void *self);
void sqs_close(void *self);
extern const struct remora_binding_ops sqs_ops;

#endif
