/* SPDX-License-Identifier: Apache-2.0 */
/* What components of all services have: whom they are to AWS, and where the service is. */
#ifndef AWS_PLUGIN_SETTINGS_H
#define AWS_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

#include "../shared/aws_credentials.h"

enum { SETTINGS_ERROR_BYTES = 256 };

/* Texts are owned. */
struct settings {
    char *region;
    struct aws_credentials *credentials;
    bool is_plain;     /* http */
    char *host;        /* with its port, if it has one */
    char *base;        /* of paths: "", or "/something" */
    bool has_endpoint; /* it is not AWS's own */
    bool skips_verification;
};

/* Complains to the reader, without a secret; settings_fini() in any case. `service` is "s3". */
void settings_read(struct reader *reader, const char *service, struct settings *ret_settings);
void settings_fini(struct settings *settings);

/* NULL: not given, or empty. Owned by the caller. */
char *settings_text(struct reader *reader, const char *name);
bool settings_flag(struct reader *reader, const char *name);

#endif
