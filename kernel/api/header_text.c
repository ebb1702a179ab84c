/* SPDX-License-Identifier: Apache-2.0 */
/* Text for headers; see header_text.h. */
#include "api/header_text.h"

enum { NAME_BYTES_MAX = 128 };

struct slice
header_text_name(struct arena *arena, struct slice prefix, struct slice name)
{
    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        return SLICE_EMPTY;
    char *lower = arena_alloc(arena, prefix.len + name.len);
    memcpy(lower, prefix.data, prefix.len);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                       c == '.';
        if (!is_good)
            return SLICE_EMPTY;
        lower[prefix.len + i] = c;
    }
    return slice_of(lower, prefix.len + name.len);
}

bool
header_text_is_value(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool
header_text_is_ascii(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < ' ' || value.data[i] >= 0x7f)
            return false;
    return true;
}
