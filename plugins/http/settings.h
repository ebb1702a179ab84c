/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of bindings.http, as the reference's component takes them. */
#ifndef HTTP_PLUGIN_SETTINGS_H
#define HTTP_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

/* Texts are owned; NULL: not given. */
struct settings {
    char *url;
    char *root_ca, *client_cert, *client_key; /* PEM */
    char *token, *token_header;
    int64_t timeout_ms;    /* of an answer; 0: none but the caller's */
    uint64_t answer_bytes; /* at most so much of an answer is taken */
    bool fails_if_not_2xx;
};

enum { SETTINGS_ERROR_BYTES = 256 };

/* False with words, without a secret in them. */
bool settings_read(const struct remora_config *config, struct settings *ret_settings,
                   char ret_error[SETTINGS_ERROR_BYTES]);
void settings_fini(struct settings *settings);

/* "true", "1", "y", "on" and so on. */
bool settings_is_truthy(struct remora_slice text);

#endif
