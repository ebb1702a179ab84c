/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of an invocation: what a client names becomes what an application is asked for. A
 * surface has decoded it once; here it is cleaned and, for HTTP, encoded as the reference does it:
 * bytes that are well-formed in a path stay as they are, else all of it is decoded and encoded
 * anew.
 */
#include "api/invoke.h"

#include "http/chars.h"
#include "http/path.h"

bool
invoke_clean_method(struct arena *arena, struct slice method, struct slice *ret_path)
{
    for (size_t i = 0; i < method.len; i++) {
        unsigned char c = (unsigned char)method.data[i];
        if (c < ' ' || c == 0x7f || c == '#' || c == '?')
            return false;
    }
    char *path = arena_alloc(arena, method.len + 1);
    path[0] = '/';
    if (method.len > 0)
        memcpy(path + 1, method.data, method.len);
    *ret_path = path_clean(arena, slice_of(path, method.len + 1));
    return true;
}

/* Stands in a path as itself, whether or not an encoder would leave it. */
static bool
is_well_formed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-_.~!$&'()*+,;=:@[]%/", c) != NULL);
}

/* … and is left as it is by the reference's encoder. */
static bool
is_left(char c)
{
    return is_well_formed(c) && strchr("!'()*[]%", c) == NULL;
}

static struct slice
encode(struct arena *arena, struct slice text)
{
    char *out = arena_alloc(arena, text.len * 3);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_left((char)c)) {
            out[len++] = (char)c;
        } else {
            out[len++] = '%';
            out[len++] = "0123456789ABCDEF"[c >> 4];
            out[len++] = "0123456789ABCDEF"[c & 15];
        }
    }
    return slice_of(out, len);
}

bool
invoke_encode_path(struct arena *arena, struct slice path, struct slice *ret_encoded,
                   struct slice *ret_bad)
{
    struct slice decoded;
    bool is_fine = true;
    if (!path_escapes_are_valid(path)) {
        size_t at = 0;
        while (path.data[at] != '%' || path_escapes_are_valid(slice_first(slice_from(path, at), 3)))
            at++;
        *ret_bad = slice_first(slice_from(path, at), 3);
        return false;
    }
    for (size_t i = 0; i < path.len && is_fine; i++)
        is_fine = is_well_formed(path.data[i]);
    if (is_fine)
        *ret_encoded = path;
    else if (path_decode(arena, path, &decoded)) /* was checked */
        *ret_encoded = encode(arena, decoded);
    return true;
}
