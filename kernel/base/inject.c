/* SPDX-License-Identifier: Apache-2.0 */
/* Failures on demand; see inject.h. */
#include "base/inject.h"

#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"

enum { PARTS = 1000000 };

bool inject_is_on;
static const char *const names[] = {
#define INJECT(name, what) #name,
#include "base/inject.def"
#undef INJECT
};
static uint32_t rates[INJECT_COUNT];              /* parts of a million */
static atomic_int_least64_t counts[INJECT_COUNT]; /* calls left to fail */
static atomic_uint_least64_t seed = 88172645463325252u;

/* "0.25" → 250000. */
static bool
parse_rate(struct slice text, uint32_t *ret_rate)
{
    struct slice whole = text, fraction = SLICE_EMPTY;
    ptrdiff_t dot = slice_find_byte(text, '.');
    if (dot >= 0) {
        whole = slice_first(text, (size_t)dot);
        fraction = slice_from(text, (size_t)dot + 1);
    }
    uint64_t units, parts = 0;
    if (!slice_to_u64(whole, &units) || units > 1 || fraction.len > 6)
        return false;
    if (fraction.len > 0 && !slice_to_u64(fraction, &parts))
        return false;
    for (size_t i = fraction.len; i < 6; i++)
        parts *= 10;
    if (units == 1 && parts > 0)
        return false;
    *ret_rate = (uint32_t)(units * PARTS + parts);
    return true;
}

static bool
parse_entry(struct slice entry)
{
    ptrdiff_t colon = slice_find_byte(entry, ':');
    if (colon < 0)
        return false;
    struct slice name = slice_first(entry, (size_t)colon),
                 rate = slice_from(entry, (size_t)colon + 1);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!slice_eq(name, slice_str(names[i])))
            continue;
        int64_t count;
        if (!slice_has_prefix(rate, SLICE("#")))
            return parse_rate(rate, &rates[i]);
        if (!slice_to_i64(slice_from(rate, 1), &count) || count < 0)
            return false;
        atomic_store_explicit(&counts[i], count, memory_order_relaxed);
        return true;
    }
    return false;
}

bool
inject_setup(const char *text)
{
    struct slice rest = slice_str(text), entry;
    if (rest.len == 0)
        return true;
    while (slice_split(&rest, ',', &entry))
        if (!parse_entry(entry))
            return false;
    inject_is_on = true;
    return true;
}

bool
inject_draw(enum inject_point point)
{
    if (atomic_load_explicit(&counts[point], memory_order_relaxed) > 0 &&
        atomic_fetch_sub_explicit(&counts[point], 1, memory_order_relaxed) > 0)
        return true;
    if (rates[point] == 0)
        return false;
    uint64_t x = atomic_load_explicit(&seed,
                                      memory_order_relaxed); /* xorshift; races only blur it */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    atomic_store_explicit(&seed, x, memory_order_relaxed);
    return x % PARTS < rates[point];
}
