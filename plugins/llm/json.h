/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON that a provider or an application has written: parsed within bounds, read with types
 * checked, and built. Being out of memory ends the process.
 */
#ifndef LLM_PLUGIN_JSON_H
#define LLM_PLUGIN_JSON_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

enum {
    JSON_DEPTH_MAX = 64,
    JSON_VALUES_MAX = 200000, /* a value takes up to 30 times what its text does */
};

/* Once, in `setup`. */
void json_setup(void);

/* An object, of valid UTF-8 and within the bounds; NULL otherwise. */
cJSON *json_parse(const char *text, size_t len);

/* Members of an object; NULL or 0 if they are not there or of another type. `object` may be NULL.
 */
const cJSON *json_get(const cJSON *object, const char *name);
const cJSON *json_get_object(const cJSON *object, const char *name);
const cJSON *json_get_array(const cJSON *object, const char *name);
const char *json_get_text(const cJSON *object, const char *name);
uint64_t json_get_count(const cJSON *object, const char *name);

struct remora_slice json_slice(const char *text); /* NULL is empty */

/* Each takes what it is given and returns it. */
cJSON *json_add(cJSON *object, const char *name, cJSON *item);
cJSON *json_append(cJSON *array, cJSON *item);

cJSON *json_text(struct remora_slice text);
/* {} of which `name` is `text` */
cJSON *json_object_of(const char *name, struct remora_slice text);

/* Members of `from` that `to` has not, nor any of the names of the list; `from` is used up. */
void json_merge(cJSON *to, cJSON *from, const char *const *except);

/* malloc'ed; NUL behind it. */
char *json_print(const cJSON *tree);

#endif
