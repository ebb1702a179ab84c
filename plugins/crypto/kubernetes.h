/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.dapr.kubernetes.secrets: keys are values of a cluster's secrets, asked for whenever one is
 * used: "namespace/secret/key", or "secret/key" in the component's default namespace. */
#ifndef CRYPTO_KUBERNETES_H
#define CRYPTO_KUBERNETES_H

#include "provider.h"

void kubernetes_init(remora_call *call, const struct remora_config *config);
void kubernetes_close(void *self);

#endif
