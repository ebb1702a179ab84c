/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees with secrets in them, and texts that a call keeps. */
#ifndef PLUGINS_SHARED_JSON_SECRET_H
#define PLUGINS_SHARED_JSON_SECRET_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

/* Deletes a tree after wiping its texts; NULL is nothing. */
void json_secret_delete(cJSON *tree);

/* Copies in the call's memory, which a call with secrets wipes: of a text, and of an item, which is
 * its text or else its JSON. */
struct remora_slice json_secret_keep_text(remora_call *call, const char *text);
struct remora_slice json_secret_keep(remora_call *call, const cJSON *item);

#endif
