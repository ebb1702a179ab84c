/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to services in JSON, and what they say. Pure. */
#ifndef AWS_PLUGIN_JSON_H
#define AWS_PLUGIN_JSON_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

#include "../shared/text.h"

/* A JSON string, quotes included, of UTF-8. */
void json_put(struct text *out, struct remora_slice text);
/* What goes between: brackets, names, commas. */
void json_put_raw(struct text *out, const char *json);

/* The text of a member; NULL: there is none. */
const char *json_text(const cJSON *tree, const char *name);
/* Does a JSON document have a text with a NUL in it, which would be cut there? */
bool json_has_nul(const char *json, size_t len);

#endif
