/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and queries: cleaning is final, never climbs, and splits into what it says. */
#include "http/path.h"
#include "http/query.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_segments(struct arena *arena, struct slice clean)
{
    struct slice rest = clean, segment, text;
    size_t bytes = 0;
    while (path_next(&rest, &segment)) {
        bytes += segment.len + 1;
        assert(!slice_eq(segment, SLICE("..")) && !slice_eq(segment, SLICE(".")));
        assert(path_decode(arena, segment, &text) == path_escapes_are_valid(segment));
        assert(!path_escapes_are_valid(segment) || text.len <= segment.len);
    }
    assert(bytes == clean.len || slice_eq(clean, SLICE("/")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena);
    struct slice raw = slice_of(data, size), name, value;
    if (size == 0 || raw.data[0] == '/') {
        struct slice clean = path_clean(&arena, raw);
        assert(clean.len > 0 && clean.data[0] == '/' && clean.len <= size + 1);
        assert(slice_eq(path_clean(&arena, clean), clean));
        check_segments(&arena, clean);
    }
    while (query_next(&raw, &arena, &name, &value))
        assert(name.len + value.len <= size);
    arena_fini(&arena);
    return 0;
}
