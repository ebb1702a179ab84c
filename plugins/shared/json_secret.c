/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees with secrets in them; see json_secret.h. */
#include "json_secret.h"

#include <string.h>

/* cJSON refuses documents deeper than its own limit, so this ends. */
static void
wipe(cJSON *item)
{
    if (item == NULL)
        return;
    if (item->valuestring != NULL)
        explicit_bzero(item->valuestring, strlen(item->valuestring));
    for (cJSON *child = item->child; child != NULL; child = child->next)
        wipe(child);
}

void
json_secret_delete(cJSON *tree)
{
    wipe(tree);
    cJSON_Delete(tree);
}

struct remora_slice
json_secret_keep_text(remora_call *call, const char *text)
{
    const size_t len = strlen(text);
    char *copy = remora_call_alloc(call, len + 1);
    memcpy(copy, text, len + 1);
    return (struct remora_slice){ copy, len };
}

struct remora_slice
json_secret_keep(remora_call *call, const cJSON *item)
{
    if (cJSON_IsString(item))
        return json_secret_keep_text(call, item->valuestring);
    char *text = cJSON_PrintUnformatted(item);
    const struct remora_slice value = json_secret_keep_text(call, text != NULL ? text : "");
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    cJSON_free(text);
    return value;
}
