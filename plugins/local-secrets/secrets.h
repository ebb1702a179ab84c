/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of secrets: names, each with one or more pairs, and the way from a JSON file to them.
 * Objects and arrays of the file are flattened: {"db":{"pw":"x"}} is the secret "db:pw", or with
 * several values a secret "db" that holds the pair "pw". What a set held is overwritten when it
 * goes.
 */
#ifndef LOCAL_SECRETS_SECRETS_H
#define LOCAL_SECRETS_SECRETS_H

#include <remora_plugin.h>

enum {
    SECRETS_FILE_BYTES_MAX = 4 * 1024 * 1024,
    SECRETS_DEPTH_MAX = 64,               /* of the JSON */
    SECRETS_COUNT_MAX = 100000,           /* values in all */
    SECRETS_BYTES_MAX = 16 * 1024 * 1024, /* of names and values after flattening */
    SECRETS_ERROR_BYTES = 128,
};

struct secrets {
    struct remora_secret *items; /* by name, in byte order; NULL before secrets_seal() */
    size_t count;
    struct remora_pair *pairs; /* what the items point into; by secret, then by name */
    size_t pair_count;
    struct secrets_entry *entries; /* what was added, until it is sealed */
    size_t entry_count;
    size_t entry_room;
    size_t bytes; /* of names and values */
};

struct secrets_form {
    const char *separator; /* between the names of nested members */
    bool is_multi_valued;
};

/* NULL if the text is no JSON object or too large; then `ret_error` says so, without a word of what
 * the file holds. */
struct secrets *secrets_parse(const char *text, size_t len, const struct secrets_form *form,
                              char ret_error[SECRETS_ERROR_BYTES]);

/* An empty set to be filled by secrets_add(), which returns false when it is full. The last of
 * several values of one name counts. */
struct secrets *secrets_new(void);
bool secrets_add(struct secrets *secrets, struct remora_slice name, struct remora_slice pair_name,
                 struct remora_slice value);
/* After the last secrets_add(), before anything is looked up. */
void secrets_seal(struct secrets *secrets);
void secrets_free(struct secrets *secrets);

const struct remora_secret *secrets_find(const struct secrets *secrets, struct remora_slice name);

#endif
