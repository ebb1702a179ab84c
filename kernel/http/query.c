/* SPDX-License-Identifier: Apache-2.0 */
/* Query strings; see query.h. */
#include "http/query.h"

#include "http/chars.h"
#include "http/path.h"

/* Like path_decode(), and '+' is a blank. */
static bool
decode(struct arena *arena, struct slice raw, struct slice *ret_text)
{
    if (slice_find_byte(raw, '+') < 0)
        return path_decode(arena, raw, ret_text);
    char *blanks = arena_alloc(arena, raw.len);
    for (size_t i = 0; i < raw.len; i++)
        blanks[i] = raw.data[i] == '+' ? ' ' : raw.data[i];
    return path_decode(arena, slice_of(blanks, raw.len), ret_text);
}

bool
query_next(struct slice *rest, struct arena *arena, struct slice *ret_name, struct slice *ret_value)
{
    struct slice pair;
    while (rest->len > 0 && slice_split(rest, '&', &pair)) {
        if (pair.len == 0 || slice_find_byte(pair, ';') >= 0)
            continue;
        ptrdiff_t equals = slice_find_byte(pair, '=');
        struct slice name = equals < 0 ? pair : slice_first(pair, (size_t)equals);
        struct slice value = slice_from(pair, name.len + 1);
        if (decode(arena, name, &name) && decode(arena, value, &value)) {
            *ret_name = name;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

bool
query_get(struct slice query, struct arena *arena, struct slice name, struct slice *ret_value)
{
    struct slice found, value;
    while (query_next(&query, arena, &found, &value)) {
        if (slice_eq(found, name)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}
