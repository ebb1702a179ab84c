/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.dapr.localstorage: keys are files of a folder, read anew whenever one is used, so that a
 * key that was exchanged counts at once. */
#ifndef CRYPTO_LOCALSTORAGE_H
#define CRYPTO_LOCALSTORAGE_H

#include "provider.h"

void localstorage_init(remora_call *call, const struct remora_config *config);
void localstorage_close(void *self);

#endif
