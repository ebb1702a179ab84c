/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of a component, checked. */
#ifndef VAULT_PLUGIN_SETTINGS_H
#define VAULT_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

#include "../shared/fetch.h"

enum { SETTINGS_ERROR_BYTES = 256 };

struct settings {
    struct fetch_identity identity;
    /* Owned. */
    char *address;    /* without a slash behind */
    char *engine;     /* "secret", escaped for a path */
    char *prefix;     /* "dapr/", escaped; "" without one */
    char *token;      /* NULL: token_file */
    char *namespace;  /* of a server that has namespaces; NULL: none */
    char *token_file; /* read for each request: it may be rotated */
    bool is_text;     /* a secret is its whole JSON, instead of a map */
};

/* On failure nothing is kept and `error`, of SETTINGS_ERROR_BYTES, says why. */
bool settings_init(struct settings *settings, const struct remora_config *config, char *error);
void settings_fini(struct settings *settings);

/* A path of the API with each part escaped; NULL if a part is empty, "." or "..", by which a name
 * would leave its place. malloc'ed. */
char *settings_escape_path(struct remora_slice path);

#endif
