/* SPDX-License-Identifier: Apache-2.0 */
/* What a function cannot do: attributes, container_of, TAKE, cleanup. Nothing else belongs here. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <stddef.h>

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that embeds `member` at address `ptr`. */
#define container_of(ptr, type, member)                                                            \
    ({                                                                                             \
        __typeof__(&((type *)0)->member) container_of_ptr_ = (ptr);                                \
        (type *)(void *)((char *)container_of_ptr_ - offsetof(type, member));                      \
    })

/* Moves a pointer out of its owner, which is left NULL. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) *take_from_ = &(pointer);                                              \
        __typeof__(pointer) taken_ = *take_from_;                                                  \
        *take_from_ = NULL;                                                                        \
        taken_;                                                                                    \
    })

/* `CLEANUP(fn) T x` calls fn(&x) when x leaves its scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

#endif
