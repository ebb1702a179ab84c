/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of bindings.smtp, as the reference's component takes them; most are the defaults of what
 * a request may say. */
#ifndef SMTP_PLUGIN_SETTINGS_H
#define SMTP_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

enum { SETTINGS_ERROR_BYTES = 256 };

/* Texts are owned; NULL: not given. */
struct settings {
    char *host, *user, *password;
    uint16_t port;
    bool skips_verification;
    char *from, *to, *cc, *bcc, *subject;
    int64_t priority;
};

/* False with words, without a secret in them. */
bool settings_read(const struct remora_config *config, struct settings *ret_settings,
                   char ret_error[SETTINGS_ERROR_BYTES]);
void settings_fini(struct settings *settings);

/* 1 (highest) to 5. False with words. */
bool settings_priority(struct remora_slice text, int64_t *ret_priority,
                       char ret_error[SETTINGS_ERROR_BYTES]);

/* The server is this machine: nobody listens on the way. */
bool settings_is_local(const struct settings *settings);

#endif
