/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer with one secret says. Pure; what is made here lives as long as the call. */
#ifndef AWS_PLUGIN_SECRET_ANSWER_H
#define AWS_PLUGIN_SECRET_ANSWER_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

enum { SECRET_PAIRS_MAX = 10000 };

/* Texts outlive what is read by it. */
struct secret_form {
    const char *within; /* the member that has it; NULL: the answer itself */
    const char *value;  /* and the member of that with its text */
    const char *items;  /* of a list */
    const char *prefix; /* of names, which is not told */
    bool is_map;        /* a text that is a JSON object is its members */
};

/* False: it is no such answer. One without a text (a secret may be bytes) has no pairs. */
bool secret_read(remora_call *call, const struct secret_form *form, const cJSON *tree,
                 struct remora_pair **ret_pairs, size_t *ret_count);

#endif
