/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what the API server answers; see cluster_answer.h. */
#include "cluster_answer.h"

#include <string.h>

#include "base64.h"
#include "json_secret.h"

static const cJSON *
member(const cJSON *from, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(from, name);
}

static struct remora_slice
keep(remora_call *call, const char *text)
{
    size_t len = strlen(text);
    char *own = remora_call_alloc(call, len + 1);
    memcpy(own, text, len + 1);
    return (struct remora_slice){ own, len };
}

static bool
read_value(remora_call *call, const cJSON *item, struct remora_slice *ret)
{
    if (!cJSON_IsString(item))
        return false;
    size_t len = strlen(item->valuestring);
    char *value = remora_call_alloc(call, len + 1);
    ret->data = value;
    return base64_decode(item->valuestring, len, value, &ret->len);
}

/* A secret without data has no pairs. */
static bool
read_data(remora_call *call, const cJSON *secret, struct remora_pair **ret_pairs, size_t *ret_count)
{
    const cJSON *data = member(secret, "data");
    *ret_pairs = NULL;
    *ret_count = 0;
    if (data == NULL || cJSON_IsNull(data))
        return true;
    size_t count = (size_t)cJSON_GetArraySize(data);
    if (!cJSON_IsObject(data) || count > ANSWER_PAIRS_MAX)
        return false;
    struct remora_pair *pairs = remora_call_alloc(call, (count + 1) * sizeof *pairs);
    size_t filled = 0;
    for (const cJSON *item = data->child; item != NULL; item = item->next) {
        pairs[filled].name = keep(call, item->string);
        if (!read_value(call, item, &pairs[filled++].value))
            return false;
    }
    *ret_pairs = pairs;
    *ret_count = filled;
    return true;
}

bool
cluster_answer_secret(remora_call *call, const char *body, size_t len,
                      struct remora_pair **ret_pairs, size_t *ret_count,
                      struct remora_slice *ret_type)
{
    cJSON *tree = cJSON_ParseWithLength(body, len);
    const cJSON *type = member(tree, "type");
    bool is_good = cJSON_IsObject(tree) && read_data(call, tree, ret_pairs, ret_count);
    if (ret_type != NULL)
        *ret_type = keep(call, cJSON_IsString(type) ? type->valuestring : "");
    json_secret_delete(tree);
    return is_good;
}

static bool
read_item(remora_call *call, const cJSON *item, struct remora_secret *ret_secret)
{
    const cJSON *name = member(member(item, "metadata"), "name");
    struct remora_pair *pairs;
    if (!cJSON_IsString(name) || !read_data(call, item, &pairs, &ret_secret->pair_count))
        return false;
    ret_secret->name = keep(call, name->valuestring);
    ret_secret->pairs = pairs;
    return true;
}

bool
cluster_answer_list(remora_call *call, const char *body, size_t len, struct remora_secret *secrets,
                    size_t *count, struct remora_slice *ret_token)
{
    cJSON *tree = cJSON_ParseWithLength(body, len);
    const cJSON *items = member(tree, "items"),
                *token = member(member(tree, "metadata"), "continue");
    bool is_good = cJSON_IsArray(items) || cJSON_IsNull(items);
    for (const cJSON *item = is_good ? items->child : NULL; item != NULL && is_good;
         item = item->next)
        is_good = *count < ANSWER_SECRETS_MAX && read_item(call, item, &secrets[(*count)++]);
    *ret_token = keep(call, cJSON_IsString(token) ? token->valuestring : "");
    json_secret_delete(tree);
    return is_good;
}

struct remora_slice
cluster_answer_message(remora_call *call, const char *body, size_t len)
{
    cJSON *tree = cJSON_ParseWithLength(body, len);
    const cJSON *message = member(tree, "message");
    struct remora_slice text = keep(call, cJSON_IsString(message) ? message->valuestring : "");
    cJSON_Delete(tree);
    return text;
}
