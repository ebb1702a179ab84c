/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets; see buckets.h. A balanced tree by key, so that no choice of keys makes it slow,
 * and a list by last use. */
#include "buckets.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 50 * 1000, BYTES_MAX = 8 * 1024 * 1024 };

struct bucket {
    struct bucket *older, *newer;
    double tokens;
    uint64_t filled_ns; /* `tokens` is of then */
    size_t key_len;
    const char *key; /* behind the struct; elsewhere while it is looked for */
};

struct buckets {
    void *tree;
    struct bucket *oldest, *newest;
    size_t count, bytes;
    double rate, burst;
};

static int
by_key(const void *a, const void *b)
{
    const struct bucket *left = a, *right = b;
    size_t len = left->key_len < right->key_len ? left->key_len : right->key_len;
    int order = memcmp(left->key, right->key, len);
    if (order != 0)
        return order;
    return (left->key_len > right->key_len) - (left->key_len < right->key_len);
}

struct buckets *
buckets_new(double rate, double burst)
{
    struct buckets *buckets = calloc(1, sizeof *buckets);
    if (buckets == NULL)
        abort();
    buckets->rate = rate;
    buckets->burst = burst;
    return buckets;
}

/* --- the list ----------------------------------------------------------------------------------*/

static void
take_out(struct buckets *buckets, struct bucket *bucket)
{
    *(bucket->older == NULL ? &buckets->oldest : &bucket->older->newer) = bucket->newer;
    *(bucket->newer == NULL ? &buckets->newest : &bucket->newer->older) = bucket->older;
}

static void
put_newest(struct buckets *buckets, struct bucket *bucket)
{
    bucket->older = buckets->newest;
    bucket->newer = NULL;
    *(buckets->newest == NULL ? &buckets->oldest : &buckets->newest->newer) = bucket;
    buckets->newest = bucket;
}

static void
forget(struct buckets *buckets, struct bucket *bucket)
{
    take_out(buckets, bucket);
    (void)tdelete(bucket, &buckets->tree, by_key);
    buckets->count--;
    buckets->bytes -= sizeof *bucket + bucket->key_len;
    free(bucket);
}

void
buckets_free(struct buckets *buckets)
{
    if (buckets == NULL)
        return;
    while (buckets->oldest != NULL)
        forget(buckets, buckets->oldest);
    free(buckets);
}

size_t
buckets_count(const struct buckets *buckets)
{
    return buckets->count;
}

/* --- tokens ------------------------------------------------------------------------------------*/

static struct bucket *
add(struct buckets *buckets, struct remora_slice key, uint64_t now_ns)
{
    while (buckets->oldest != NULL &&
           (buckets->count >= COUNT_MAX || buckets->bytes + key.len > BYTES_MAX))
        forget(buckets, buckets->oldest);
    struct bucket *bucket = malloc(sizeof *bucket + key.len);
    if (bucket == NULL)
        abort();
    memcpy(bucket + 1, key.data, key.len);
    *bucket = (struct bucket){ .tokens = buckets->burst,
                               .filled_ns = now_ns,
                               .key = (const char *)(bucket + 1),
                               .key_len = key.len };
    if (tsearch(bucket, &buckets->tree, by_key) == NULL)
        abort();
    buckets->count++;
    buckets->bytes += sizeof *bucket + key.len;
    put_newest(buckets, bucket);
    return bucket;
}

static struct bucket *
find(struct buckets *buckets, struct remora_slice key, uint64_t now_ns)
{
    const struct bucket wanted = { .key = key.data, .key_len = key.len };
    struct bucket *const *found = tfind(&wanted, &buckets->tree, by_key);
    if (found == NULL)
        return add(buckets, key, now_ns);
    struct bucket *bucket = *found;
    take_out(buckets, bucket);
    put_newest(buckets, bucket);
    return bucket;
}

bool
buckets_take(struct buckets *buckets, struct remora_slice key, uint64_t now_ns, unsigned *ret_left)
{
    struct bucket *bucket = find(buckets, key, now_ns);
    double tokens = bucket->tokens + (double)(now_ns - bucket->filled_ns) / 1e9 * buckets->rate;
    bucket->tokens = tokens < buckets->burst ? tokens : buckets->burst;
    bucket->filled_ns = now_ns;
    bool is_there = bucket->tokens >= 1;
    if (is_there)
        bucket->tokens -= 1;
    *ret_left = (unsigned)bucket->tokens;
    return is_there;
}
