/* SPDX-License-Identifier: Apache-2.0 */
/* Personal data in text: text stays text, what is found is told by a label and makes the text no
 * longer than labels are, and the same text is always scrubbed the same way. */
#include "pii/pii.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { GROWTH_MAX = 8 }; /* "::1" becomes "<IP>", "a@b.cd" a label of 15 */
    struct arena arena;
    struct slice text = slice_of((const char *)data, size);
    arena_init(&arena);
    struct slice once = pii_scrub(&arena, text), again = pii_scrub(&arena, text);
    assert(slice_eq(once, again));
    assert(once.len <= size * GROWTH_MAX);
    assert(!slice_is_utf8(text) || slice_is_utf8(once));
    assert(once.data == text.data || slice_find_byte(once, '<') >= 0);
    arena_fini(&arena);
    return 0;
}
