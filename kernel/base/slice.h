/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that belong to someone else: a pointer and a length, passed by value. Not NUL-terminated,
 * may hold any byte. The holder must know how long the owner keeps them. All functions are pure and
 * may be called from any thread.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"

struct slice {
    const char *data;
    size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){ .data = "" literal, .len = sizeof(literal) - 1 })
#define SLICE_EMPTY ((struct slice){ .data = "", .len = 0 })

/* printf("%.*s", SLICE_ARG(s)) */
#define SLICE_FMT "%.*s"
#define SLICE_ARG(s) (int)((s).len > 4096 ? 4096 : (s).len), (s).data

static inline struct slice
slice_of(const void *data, size_t len)
{
    return (struct slice){ .data = data, .len = len };
}

/* Of a NUL-terminated string; NULL gives the empty slice. */
static inline struct slice
slice_str(const char *text)
{
    return text == NULL ? SLICE_EMPTY : slice_of(text, strlen(text));
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* From `from` to the end; `from` beyond the end gives the empty slice. */
static inline struct slice
slice_from(struct slice s, size_t from)
{
    return from >= s.len ? slice_of(s.data + s.len, 0) : slice_of(s.data + from, s.len - from);
}

static inline struct slice
slice_first(struct slice s, size_t len)
{
    return slice_of(s.data, len < s.len ? len : s.len);
}

/* Byte order, shorter first when one is a prefix of the other. */
int slice_cmp(struct slice a, struct slice b);
/* ASCII case ignored. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_is_one_of_nocase(struct slice s, const char *const *names, size_t count);
bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_prefix_nocase(struct slice s, struct slice prefix);
bool slice_has_suffix(struct slice s, struct slice suffix);
/* Index of the first occurrence, or -1. An empty needle is found at 0. */
ptrdiff_t slice_find(struct slice s, struct slice needle);
ptrdiff_t slice_find_byte(struct slice s, char byte);
/* Without the spaces, tabs, CR and LF around it. */
struct slice slice_trim(struct slice s);
/* Takes the part before `separator` off the front of `rest`. False when `rest` was exhausted; the
 * last part is delivered even if empty ("a," gives "a" and ""). Start with `rest` = whole text. */
bool slice_split(struct slice *rest, char separator, struct slice *ret_part);

/* Whole text as a number: no sign for u64, no blanks, no leftovers, no overflow. */
bool slice_to_u64(struct slice s, uint64_t *ret_value) WARN_UNUSED;
bool slice_to_i64(struct slice s, int64_t *ret_value) WARN_UNUSED;
/* "true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "True", ...: as Go's strconv.ParseBool. */
bool slice_to_bool(struct slice s, bool *ret_value) WARN_UNUSED;

/* "y", "yes", "true", "t", "on" or "1" in any case, blanks around it apart: what the reference
 * runtime takes for true wherever it is not strict. */
bool slice_is_truthy(struct slice s);

/* Value of a hex digit of either case, -1 for any other byte. */
static inline int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool slice_is_utf8(struct slice s);
/* Length of the well-formed sequence at the front, 0 if there is none. */
size_t slice_utf8_len(struct slice s);

uint64_t slice_hash(struct slice s);

/* A heap copy with a NUL behind it; the caller frees it. Aborts if memory is out. */
char *slice_copy(struct slice s);
/* The same for C's eyes; NULL if the slice holds a NUL byte. */
char *slice_dup_str(struct slice s);

#endif
