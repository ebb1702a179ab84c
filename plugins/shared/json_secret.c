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
