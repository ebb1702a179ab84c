/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of a statement, a JSON list, as the texts that the server reads by their types. */
#ifndef POSTGRESQL_PARAMS_H
#define POSTGRESQL_PARAMS_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

enum { PARAMS_MAX = 65535, PARAMS_WHY_BYTES = 160 };

struct params {
    cJSON *root;
    char **values; /* owned; NULL is SQL's */
    int count;
    bool has_list; /* among them is one, which may be meant as an array or as JSON */
};

/* False with words for the user. */
bool params_init(struct params *params, struct remora_slice json, char ret_why[PARAMS_WHY_BYTES]);
/* Lists are JSON at first; makes arrays of them. */
void params_make_arrays(struct params *params);
void params_fini(struct params *params);

#endif
