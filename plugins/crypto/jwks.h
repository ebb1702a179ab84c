/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.dapr.jwks: keys are those of a set, by their ids: given as text, in a file that is read
 * anew when it has changed, or at a URL that is asked anew from time to time. */
#ifndef CRYPTO_JWKS_H
#define CRYPTO_JWKS_H

#include "provider.h"

void jwks_init(remora_call *call, const struct remora_config *config);
void jwks_close(void *self);

#endif
