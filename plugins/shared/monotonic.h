/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that nobody sets, for deadlines and ages. Any thread. */
#ifndef PLUGINS_SHARED_MONOTONIC_H
#define PLUGINS_SHARED_MONOTONIC_H

#include <stdint.h>
#include <time.h>

static inline uint64_t
monotonic_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* which every Linux has */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
