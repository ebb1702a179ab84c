/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the answers of the key/value engine; see answer.h. */
#include "answer.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/json_secret.h"

static void
read_map(remora_call *call, const cJSON *map, struct remora_pair *pairs, size_t *ret_count)
{
    for (const cJSON *item = map->child; item != NULL; item = item->next)
        pairs[(*ret_count)++] = (struct remora_pair){ json_secret_keep_text(call, item->string),
                                                      json_secret_keep(call, item) };
}

bool
answer_read_secret(remora_call *call, const char *body, size_t len, struct remora_slice name,
                   bool as_text, struct remora_pair **ret_pairs, size_t *ret_count)
{
    cJSON *tree = cJSON_ParseWithLength(body, len);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "data"), "data");
    int count = cJSON_IsObject(data) ? cJSON_GetArraySize(data) : -1;
    bool is_good = count >= 0 && count <= ANSWER_PAIRS_MAX;
    if (is_good) {
        struct remora_pair *pairs = remora_call_alloc(call, ((size_t)count + 1) * sizeof *pairs);
        *ret_count = 0;
        if (as_text)
            pairs[(*ret_count)++] = (struct remora_pair){ name, json_secret_keep(call, data) };
        else
            read_map(call, data, pairs, ret_count);
        *ret_pairs = pairs;
    }
    json_secret_delete(tree);
    return is_good;
}

bool
answer_read_names(remora_call *call, const char *body, size_t len, struct remora_slice **ret_names,
                  size_t *ret_count)
{
    cJSON *tree = cJSON_ParseWithLength(body, len);
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "data"), "keys");
    bool is_good = cJSON_IsArray(keys) && cJSON_GetArraySize(keys) <= ANSWER_PAIRS_MAX;
    if (is_good) {
        size_t room = (size_t)cJSON_GetArraySize(keys) + 1;
        struct remora_slice *names = remora_call_alloc(call, room * sizeof *names);
        *ret_count = 0;
        for (const cJSON *item = keys->child; item != NULL; item = item->next)
            if (cJSON_IsString(item) && item->valuestring[0] != '\0')
                names[(*ret_count)++] = json_secret_keep_text(call, item->valuestring);
        *ret_names = names;
    }
    json_secret_delete(tree);
    return is_good;
}
