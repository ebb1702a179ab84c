/* SPDX-License-Identifier: Apache-2.0 */
/* JSON; see json.h. */
#include "json.h"

#include <string.h>

void
json_put_raw(struct text *out, const char *json)
{
    text_put(out, json, strlen(json));
}

void
json_put(struct text *out, struct remora_slice text)
{
    static const char digits[] = "0123456789abcdef";
    json_put_raw(out, "\"");
    for (size_t from = 0, at = 0; at <= text.len; at++) {
        const unsigned char c = at < text.len ? (unsigned char)text.data[at] : '\0';
        if (at < text.len && c >= ' ' && c != '"' && c != '\\')
            continue;
        if (at > from)
            text_put(out, text.data + from, at - from);
        from = at + 1;
        const char escape[] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };
        if (at < text.len)
            text_put(out, escape, sizeof escape);
    }
    json_put_raw(out, "\"");
}

const char *
json_text(const cJSON *tree, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tree, name));
}

bool
json_has_nul(const char *json, size_t len)
{
    static const char nul[] = "\\u0000";
    for (size_t at = 0; at + sizeof nul - 1 <= len; at++) {
        if (json[at] != '\\')
            continue;
        if (memcmp(json + at, nul, sizeof nul - 1) == 0)
            return true;
        at++; /* what a backslash stands before begins nothing */
    }
    return false;
}
