/* SPDX-License-Identifier: Apache-2.0 */
/* What a component and a request say of an object, put together. */
#ifndef AWS_PLUGIN_OBJECT_H
#define AWS_PLUGIN_OBJECT_H

#include "settings.h"

/* Texts are owned; NULL: not given. */
struct bucket {
    struct settings settings;
    char *name;
    bool is_in_path; /* it is part of paths, not of the host's name */
    bool decodes, encodes;
    char *file_path, *presign_ttl, *storage_class;
};

/* False with words, without a secret in them; bucket_fini() in any case. */
bool bucket_read(const struct remora_config *config, struct bucket *ret_bucket,
                 char ret_error[SETTINGS_ERROR_BYTES]);
void bucket_fini(struct bucket *bucket);

/* The Host header, and where an object is there (key of no length: the bucket itself); free(). */
char *bucket_host(const struct bucket *bucket);
char *bucket_path(const struct bucket *bucket, struct remora_slice key);

/* "a=1, b=2" as a header wants it: "a=1&b=2", encoded; free(). NULL with words. */
char *object_tags(struct remora_slice text, char ret_error[SETTINGS_ERROR_BYTES]);

#endif
