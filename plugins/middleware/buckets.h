/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets by key: each fills with `rate` tokens a second up to its burst, and a request takes
 * one. Bounded: when there are too many keys, the ones that were asked for longest ago are
 * forgotten, which is what they are after they have filled up anyway. One thread.
 */
#ifndef MIDDLEWARE_BUCKETS_H
#define MIDDLEWARE_BUCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remora_plugin.h"

struct buckets;

struct buckets *buckets_new(double rate, double burst);
void buckets_free(struct buckets *buckets);

/* Takes a token at this time, in nanoseconds of a clock that nobody can set. False: there is none.
 * `ret_left`: whole tokens that are left. */
bool
buckets_take(struct buckets *buckets, struct remora_slice key, uint64_t now_ns, unsigned *ret_left);
size_t buckets_count(const struct buckets *buckets);

#endif
