/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees with secrets in them, and texts that a call keeps. */
#ifndef PLUGINS_SHARED_JSON_SECRET_H
#define PLUGINS_SHARED_JSON_SECRET_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

/* Deletes a tree after wiping its texts; NULL is nothing. */
void json_secret_delete(cJSON *tree);

#endif
