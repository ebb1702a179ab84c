/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of the environment; see environment.h. */
#include "environment.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool
begins_with(struct remora_slice text, const char *prefix, size_t prefix_len)
{
    return text.len >= prefix_len &&
           (prefix_len == 0 || memcmp(text.data, prefix, prefix_len) == 0);
}

bool
environment_is_allowed(struct remora_slice name)
{
    static const char token[] = "APP_API_TOKEN", own[] = "DAPR_";
    if (name.len == 0 || memchr(name.data, ' ', name.len) != NULL)
        return false;
    if (name.len == sizeof token - 1 && strncasecmp(name.data, token, name.len) == 0)
        return false;
    return name.len < sizeof own - 1 || strncasecmp(name.data, own, sizeof own - 1) != 0;
}

struct environment *
environment_open(const struct remora_config *config)
{
    struct environment *environment = calloc(1, sizeof *environment);
    if (environment == NULL)
        abort();
    environment->secrets = secrets_new();
    struct remora_slice prefix = { "", 0 };
    (void)remora_metadata_get(config->metadata, config->metadata_count, "prefix", &prefix);
    for (size_t i = 0; i < config->environment_count; i++) {
        const struct remora_pair *variable = &config->environment[i];
        if (!environment_is_allowed(variable->name) ||
            !begins_with(variable->name, prefix.data, prefix.len))
            continue;
        const struct remora_slice name = { variable->name.data + prefix.len,
                                           variable->name.len - prefix.len };
        if (!secrets_add(environment->secrets, name, name, variable->value))
            break; /* larger than any system lets an environment be */
    }
    secrets_seal(environment->secrets);
    return environment;
}

void
environment_close(struct environment *environment)
{
    secrets_free(environment->secrets);
    free(environment);
}
