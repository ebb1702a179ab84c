/* SPDX-License-Identifier: Apache-2.0 */
/* Targets and headers; see target.h. */
#include "target.h"

#include <stdlib.h>
#include <string.h>

enum { TARGET_BYTES_MAX = 64 * 1024 };

/* False: it cannot be. */
static bool
put(char *out, size_t *len, struct remora_slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < ' ' || c == 0x7f)
            return false;
        if (c > ' ' && c < 0x7f && strchr("\"<>\\^`{|}", c) == NULL) {
            out[(*len)++] = (char)c;
            continue;
        }
        out[(*len)++] = '%';
        out[(*len)++] = digits[c >> 4];
        out[(*len)++] = digits[c & 15];
    }
    return true;
}

char *
target_make(const char *url, struct remora_slice path)
{
    struct remora_slice base = { url, strlen(url) };
    if (base.len + path.len > TARGET_BYTES_MAX)
        return NULL;
    char *out = malloc(3 * (base.len + path.len) + 2);
    size_t len = 0;
    if (out == NULL)
        abort();
    while (path.len > 0 && base.len > 0 && base.data[base.len - 1] == '/')
        base.len--;
    bool ok = put(out, &len, base);
    if (path.len > 0) {
        out[len++] = '/';
        while (path.len > 0 && path.data[0] == '/') {
            path.data++;
            path.len--;
        }
        ok = ok && put(out, &len, path);
    }
    out[len] = '\0';
    if (!ok) {
        free(out);
        return NULL;
    }
    return out;
}

char *
target_shown(const char *target)
{
    const char *host = strstr(target, "://");
    size_t head = host == NULL ? 0 : (size_t)(host + 3 - target);
    size_t authority = strcspn(target + head, "/?#");
    const char *at = NULL;
    for (size_t i = 0; i < authority; i++)
        if (target[head + i] == '@')
            at = target + head + i;
    char *shown = malloc(strlen(target) + 1);
    if (shown == NULL)
        abort();
    const char *rest = at == NULL ? target + head : at + 1;
    memcpy(shown, target, head);
    memcpy(shown + head, rest, strlen(rest) + 1);
    return shown;
}

bool
target_is_header_name(struct remora_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return name.len > 0;
}

bool
target_is_header_value(struct remora_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}
