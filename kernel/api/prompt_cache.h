/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of language models that may be given again. The key says all that determines an answer:
 * the component's generation and the whole question as its plugin would get it, so that nothing is
 * shared between components, or between configurations of one. What it holds is bounded; what was
 * used longest ago goes first. Shared by all workers, under a lock of its own that is never held
 * across a suspension. Time is the monotonic clock's.
 */
#ifndef API_PROMPT_CACHE_H
#define API_PROMPT_CACHE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"

enum { PROMPT_KEY_BYTES = 32 };

struct prompt_key {
    char bytes[PROMPT_KEY_BYTES];
};

struct prompt_cache {
    pthread_mutex_t lock;
    struct map by_key;  /* struct prompt_entry * of prompt_cache.c */
    struct list by_use; /* what was used last comes last */
    size_t bytes;       /* of all answers, with what each costs besides */
};

void prompt_cache_init(struct prompt_cache *cache);
void prompt_cache_fini(struct prompt_cache *cache);

/* Of a question to the component that its plugin process knows by `handle`, which no other
 * component or generation has had. */
struct prompt_key prompt_key_of(struct slice component, uint32_t handle, struct slice question);

/* A copy of what was put, in the arena; false if there is none that has not expired. */
bool prompt_cache_get(struct prompt_cache *cache, const struct prompt_key *key, struct arena *arena,
                      struct slice *ret_answer);
/* Instead of what was put before. What is too long to keep is not kept. */
void prompt_cache_put(struct prompt_cache *cache, const struct prompt_key *key, uint64_t ttl_ms,
                      struct slice answer);

#endif
