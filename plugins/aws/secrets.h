/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secretstores.aws.secretsmanager and secretstores.aws.parameterstore: nothing is kept, each
 * question goes to the service. Plugin thread only.
 */
#ifndef AWS_PLUGIN_SECRETS_H
#define AWS_PLUGIN_SECRETS_H

#include <remora_plugin.h>

void secrets_init_manager(remora_call *call, const struct remora_config *config);
void secrets_init_parameters(remora_call *call, const struct remora_config *config);
void secrets_close(void *self);
extern const struct remora_secret_ops secrets_ops;

#endif
