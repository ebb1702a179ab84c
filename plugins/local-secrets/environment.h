/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secretstores.local.env: the sidecar's environment as it was at its start. A variable that does
 * not exist is an empty secret, as in the reference runtime; those of the sidecar itself (DAPR_*,
 * APP_API_TOKEN) are never told.
 */
#ifndef LOCAL_SECRETS_ENVIRONMENT_H
#define LOCAL_SECRETS_ENVIRONMENT_H

#include "secrets.h"

struct environment {
    struct secrets *secrets; /* by name without the prefix */
};

struct environment *environment_open(const struct remora_config *config);
void environment_close(struct environment *environment);

/* Whether a variable of that name may be told to anyone. */
bool environment_is_allowed(struct remora_slice name);

#endif
