/* SPDX-License-Identifier: Apache-2.0 */
/* LIKE without recursion: on a mismatch only the last % needs to be tried again, one further. */
#include "like.h"

/* Bytes of the character at `at`; stray continuation bytes count as one each. */
static size_t
char_len(struct remora_slice text, size_t at)
{
    size_t end = at + 1;
    if (((unsigned char)text.data[at] & 0xC0) != 0xC0)
        return 1;
    while (end < text.len && ((unsigned char)text.data[end] & 0xC0) == 0x80)
        end++;
    return end - at;
}

/* Matches one element of the pattern other than %. */
static bool
match_one(struct remora_slice pattern, size_t *p, struct remora_slice text, size_t *t)
{
    size_t at = *p;
    if (at >= pattern.len || *t >= text.len)
        return false;
    if (pattern.data[at] == '_') {
        *p = at + 1;
        *t += char_len(text, *t);
        return true;
    }
    if (pattern.data[at] == '\\' && at + 1 < pattern.len)
        at++;
    if (pattern.data[at] != text.data[*t])
        return false;
    *p = at + 1;
    *t += 1;
    return true;
}

bool
like_matches(struct remora_slice pattern, struct remora_slice text)
{
    size_t p = 0, t = 0;
    size_t star_p = SIZE_MAX, star_t = 0; /* behind the last %, and where its run ends so far */
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '%') {
            star_p = ++p;
            star_t = t;
        } else if (!match_one(pattern, &p, text, &t)) {
            if (star_p == SIZE_MAX)
                return false;
            p = star_p;
            t = ++star_t;
        }
    }
    while (p < pattern.len && pattern.data[p] == '%')
        p++;
    return p == pattern.len;
}
