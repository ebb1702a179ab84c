/* SPDX-License-Identifier: Apache-2.0 */
/* What every kind of provider answers alike: it finds the key, the rest is the same. */
#ifndef CRYPTO_PROVIDER_H
#define CRYPTO_PROVIDER_H

#include "key.h"

#include <remora_plugin.h>

/* A reference to the key, or NULL and why. Once, now or later, unless the call has been answered.
 */
typedef void provider_found(struct key *key, const struct why *why, void *arg);

/* First member of what a component is. */
struct provider {
    /* The key of that name, for the call, which may be answered by it instead: nothing is found
     * then. */
    void (*find)(struct provider *provider, remora_call *call, struct remora_slice name,
                 provider_found *found, void *arg);
};

extern const struct remora_crypto_ops provider_ops;

#endif
