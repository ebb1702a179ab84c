/* SPDX-License-Identifier: Apache-2.0 */
/* See params.h. */
#include "params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/text.h"

/* Whole numbers without a fraction, which the server's integers do not read. */
static char *
number_text(double number)
{
    char text[40];
    if (floor(number) == number && fabs(number) < 1e18)
        return memory_printf("%.0f", number);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) >= number && strtod(text, NULL) <= number)
            break;
    }
    return memory_text(text);
}

static char *
value_text(const cJSON *value)
{
    if (cJSON_IsNull(value))
        return NULL;
    if (cJSON_IsString(value))
        return memory_text(value->valuestring);
    if (cJSON_IsNumber(value))
        return number_text(value->valuedouble);
    if (cJSON_IsBool(value))
        return memory_text(cJSON_IsTrue(value) ? "true" : "false");
    char *json = cJSON_PrintUnformatted(value);
    if (json == NULL)
        abort();
    return json;
}

static void
put_quoted(struct text *out, const char *element)
{
    text_put(out, "\"", 1);
    for (; *element != '\0'; element++) {
        if (*element == '"' || *element == '\\')
            text_put(out, "\\", 1);
        text_put(out, element, 1);
    }
    text_put(out, "\"", 1);
}

/* {"a","b",NULL,{"c"}}: as deep as the JSON parser goes. */
static void
put_array(struct text *out, const cJSON *list)
{
    text_put(out, "{", 1);
    for (const cJSON *one = list->child; one != NULL; one = one->next) {
        if (one != list->child)
            text_put(out, ",", 1);
        if (cJSON_IsArray(one)) {
            put_array(out, one);
            continue;
        }
        char *element = value_text(one);
        if (element == NULL)
            text_put(out, "NULL", strlen("NULL"));
        else
            put_quoted(out, element);
        free(element);
    }
    text_put(out, "}", 1);
}

void
params_make_arrays(struct params *params)
{
    int at = 0;
    for (const cJSON *one = params->root->child; one != NULL; one = one->next, at++) {
        struct text text = { 0 };
        if (!cJSON_IsArray(one))
            continue;
        put_array(&text, one);
        text_put(&text, "", 1); /* its end */
        free(params->values[at]);
        params->values[at] = text.bytes;
    }
}

bool
params_init(struct params *params, struct remora_slice json, char ret_why[PARAMS_WHY_BYTES])
{
    static const char wrong[] = "invalid metadata property params: failed to unserialize into an "
                                "array";
    *params = (struct params){ .count = 0 };
    if (json.len == 0)
        return true;
    const char *end = NULL;
    params->root = cJSON_ParseWithLengthOpts(json.data, json.len, &end, 0);
    while (params->root != NULL && end < json.data + json.len && strchr(" \t\r\n", *end) != NULL)
        end++;
    bool is_whole = params->root != NULL && end == json.data + json.len;
    int count = cJSON_IsArray(params->root) ? cJSON_GetArraySize(params->root) : -1;
    if (!is_whole || (count < 0 && !cJSON_IsNull(params->root)) || count > PARAMS_MAX) {
        snprintf(ret_why, PARAMS_WHY_BYTES, "%s", wrong);
        params_fini(params);
        return false;
    }
    params->values = memory_new((size_t)(count > 0 ? count : 1) * sizeof(char *));
    for (const cJSON *one = params->root->child; one != NULL; one = one->next) {
        params->values[params->count++] = value_text(one);
        params->has_list = params->has_list || cJSON_IsArray(one);
    }
    return true;
}

void
params_fini(struct params *params)
{
    for (int i = 0; i < params->count; i++)
        free(params->values[i]);
    free(params->values);
    cJSON_Delete(params->root);
    *params = (struct params){ .count = 0 };
}
