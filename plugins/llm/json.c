/* SPDX-License-Identifier: Apache-2.0 */
/* JSON within bounds; see json.h. */
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

static void *
allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL)
        abort();
    return memory;
}

void
json_setup(void)
{
    cJSON_Hooks hooks = { .malloc_fn = allocate, .free_fn = free };
    cJSON_InitHooks(&hooks);
}

/* --- parsing -----------------------------------------------------------------------------------*/

/* Bytes of the character that begins here; 0: there is none. RFC 3629. */
static size_t
character_len(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    size_t len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool is_wrong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f);
    return is_wrong ? 0 : len;
}

static bool
is_utf8(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t step = character_len((const unsigned char *)text + i, len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* Before anything is allocated for it; what is no JSON is the parser's affair. */
static bool
is_bounded(const char *text, size_t len)
{
    size_t depth = 0, values = 0;
    bool is_inside = false; /* a string */
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (is_inside) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_inside = false;
            continue;
        }
        is_inside = c == '"';
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        values += c == ',' || c == '{' || c == '[';
        if (depth > JSON_DEPTH_MAX || values > JSON_VALUES_MAX)
            return false;
    }
    return true;
}

cJSON *
json_parse(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL && text[len - 1] != '\0')
        len--;
    const char *end = NULL;
    if (len == 0 || !is_utf8(text, len) || !is_bounded(text, len))
        return NULL;
    cJSON *tree = cJSON_ParseWithLengthOpts(text, len, &end, false);
    if (cJSON_IsObject(tree) && end == text + len)
        return tree;
    cJSON_Delete(tree);
    return NULL;
}

/* --- reading -----------------------------------------------------------------------------------*/

const cJSON *
json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const cJSON *
json_get_object(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);
    return cJSON_IsObject(item) ? item : NULL;
}

const cJSON *
json_get_array(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);
    return cJSON_IsArray(item) ? item : NULL;
}

const char *
json_get_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(json_get(object, name));
}

uint64_t
json_get_count(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);
    double number = cJSON_IsNumber(item) ? item->valuedouble : 0;
    return isfinite(number) && number >= 0 && number < 9007199254740992.0 ? (uint64_t)number : 0;
}

struct remora_slice
json_slice(const char *text)
{
    return (struct remora_slice){ text != NULL ? text : "", text != NULL ? strlen(text) : 0 };
}

/* --- building ----------------------------------------------------------------------------------*/

cJSON *
json_add(cJSON *object, const char *name, cJSON *item)
{
    cJSON_AddItemToObject(object, name, item);
    return item;
}

cJSON *
json_append(cJSON *array, cJSON *item)
{
    cJSON_AddItemToArray(array, item);
    return item;
}

cJSON *
json_text(struct remora_slice text)
{
    char *copy = memory_slice(text);
    cJSON *item = cJSON_CreateString(copy);
    free(copy);
    return item;
}

cJSON *
json_object_of(const char *name, struct remora_slice text)
{
    cJSON *object = cJSON_CreateObject();
    json_add(object, name, json_text(text));
    return object;
}

static bool
is_listed(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

void
json_merge(cJSON *to, cJSON *from, const char *const *except)
{
    for (cJSON *item = from->child, *next; item != NULL; item = next) {
        next = item->next;
        if (item->string == NULL || is_listed(item->string, except) ||
            json_get(to, item->string) != NULL)
            continue;
        cJSON_DetachItemViaPointer(from, item);
        char *name = memory_text(item->string);
        json_add(to, name, item);
        free(name);
    }
    cJSON_Delete(from);
}

char *
json_print(const cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree);
    if (text == NULL)
        abort();
    return text;
}
