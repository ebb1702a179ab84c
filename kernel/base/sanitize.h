/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sanitizer this build runs under, gcc's and clang's ways of saying so made one, marking
 * memory of our own allocators as off limits, and showing leak checks memory that they would not
 * search for pointers. Costs nothing in other builds. Any thread.
 */
#ifndef BASE_SANITIZE_H
#define BASE_SANITIZE_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

/* Whoever touches these bytes from now on is reported. */
static inline void
memory_forbid(void *at, size_t bytes)
{
#ifdef HAS_ASAN
    __asm__("" : "+r"(at)); /* gcc believes that it is read, and warns of fresh memory */
    __asan_poison_memory_region(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

static inline void
memory_allow(void *at, size_t bytes)
{
#ifdef HAS_ASAN
    __asan_unpoison_memory_region(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

/* Pointers in these bytes, which are of mmap(), keep what they point to from being a leak. */
static inline void
memory_roots_begin(void *at, size_t bytes)
{
#ifdef HAS_ASAN
    __lsan_register_root_region(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

static inline void
memory_roots_end(void *at, size_t bytes)
{
#ifdef HAS_ASAN
    __lsan_unregister_root_region(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

#endif
