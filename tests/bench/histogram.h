/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies counted in steps of 1.6 %: what load clients of benchmarks keep of each. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7, /* 64 steps a power of two */
    HISTOGRAM_STEPS = 64 << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t steps[HISTOGRAM_STEPS];
    uint64_t count, max_ns;
};

static inline void
histogram_add(struct histogram *h, uint64_t ns)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(ns | 1);
    unsigned shift = bits <= HISTOGRAM_SUB_BITS ? 0 : bits - HISTOGRAM_SUB_BITS;
    size_t step = ((size_t)shift << HISTOGRAM_SUB_BITS) + (size_t)(ns >> shift);
    h->steps[step < HISTOGRAM_STEPS ? step : HISTOGRAM_STEPS - 1]++;
    h->count++;
    h->max_ns = ns > h->max_ns ? ns : h->max_ns;
}

static inline double
histogram_quantile_us(const struct histogram *h, double q)
{
    uint64_t wanted = (uint64_t)((double)h->count * q), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_STEPS; i++) {
        seen += h->steps[i];
        uint64_t low = i & ((1U << HISTOGRAM_SUB_BITS) - 1);
        if (seen > wanted)
            return (double)(low << (i >> HISTOGRAM_SUB_BITS)) / 1000.0;
    }
    return (double)h->max_ns / 1000.0;
}

#endif
