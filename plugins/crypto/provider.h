/* SPDX-License-Identifier: Apache-2.0 */
/* What every kind of provider answers alike: it finds the key, the rest is the same. */
#ifndef CRYPTO_PROVIDER_H
#define CRYPTO_PROVIDER_H

#include "key.h"

#include <remora_plugin.h>

/* First member of what a component is. */
struct provider {
    /* A reference to the key of that name; NULL: why. */
    struct key *(*find)(struct provider *provider, struct remora_slice name, struct why *why);
};

extern const struct remora_crypto_ops provider_ops;

#endif
