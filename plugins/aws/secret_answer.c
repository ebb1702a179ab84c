/* SPDX-License-Identifier: Apache-2.0 */
/* Reads answers with a secret; see secret_answer.h. */
#include "secret_answer.h"

#include <string.h>

#include "../shared/json_secret.h"
#include "json.h"

/* False: it is no object, and one value. */
static bool
read_map(remora_call *call, const char *text, struct remora_pair **ret_pairs, size_t *ret_count)
{
    const size_t len = strlen(text);
    cJSON *map = json_has_nul(text, len) ? NULL : cJSON_ParseWithLength(text, len);
    const int count = cJSON_IsObject(map) ? cJSON_GetArraySize(map) : -1;
    const bool is_good = count >= 0 && count <= SECRET_PAIRS_MAX;
    if (is_good) {
        struct remora_pair *pairs = remora_call_alloc(call, ((size_t)count + 1) * sizeof *pairs);
        *ret_count = 0;
        const cJSON *item;
        cJSON_ArrayForEach(item, map)
            pairs[(*ret_count)++] = (struct remora_pair){ json_secret_keep_text(call, item->string),
                                                          json_secret_keep(call, item) };
        *ret_pairs = pairs;
    }
    json_secret_delete(map);
    return is_good;
}

bool
secret_read(remora_call *call, const struct secret_form *form, const cJSON *tree,
            struct remora_pair **ret_pairs, size_t *ret_count)
{
    const cJSON *secret = form->within == NULL
                              ? tree
                              : cJSON_GetObjectItemCaseSensitive(tree, form->within);
    const char *name = json_text(secret, "Name"), *value = json_text(secret, form->value);
    const size_t prefix_len = strlen(form->prefix);
    *ret_count = 0;
    *ret_pairs = NULL;
    if (name == NULL || strncmp(name, form->prefix, prefix_len) != 0)
        return false;
    if (value == NULL || (form->is_map && read_map(call, value, ret_pairs, ret_count)))
        return true;
    struct remora_pair *pair = remora_call_alloc(call, sizeof *pair);
    *pair = (struct remora_pair){ json_secret_keep_text(call, name + prefix_len),
                                  json_secret_keep_text(call, value) };
    *ret_pairs = pair;
    *ret_count = 1;
    return true;
}
