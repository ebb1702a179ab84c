/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets: how they fill, that each key has its own, and that they are bounded. */
#include "plugins/middleware/buckets.h"
#include "test.h"

static const uint64_t second = 1000000000;

static bool
take(struct buckets *buckets, const char *key, uint64_t now_ns)
{
    unsigned left;
    return buckets_take(buckets, (struct remora_slice){ key, strlen(key) }, now_ns, &left);
}

TEST(a_bucket_gives_its_burst_and_fills_at_its_rate)
{
    struct buckets *buckets = buckets_new(2, 2);
    unsigned left;
    CHECK(buckets_take(buckets, (struct remora_slice){ "k", 1 }, second, &left) && left == 1);
    CHECK(buckets_take(buckets, (struct remora_slice){ "k", 1 }, second, &left) && left == 0);
    CHECK(!take(buckets, "k", second));
    CHECK(take(buckets, "other", second));
    CHECK(!take(buckets, "k", second + second / 2 - 1000));
    CHECK(take(buckets, "k", second + second / 2));
    CHECK(!take(buckets, "k", second + second / 2));
    CHECK(take(buckets, "k", 100 * second));
    CHECK(take(buckets, "k", 100 * second));
    CHECK(!take(buckets, "k", 100 * second)); /* no more than its burst, however long it waits */
    buckets_free(buckets);
}

TEST(slow_rates_give_one_at_a_time)
{
    struct buckets *buckets = buckets_new(0.5, 1);
    CHECK(take(buckets, "", 0));
    CHECK(!take(buckets, "", second));
    CHECK(take(buckets, "", 2 * second));
    buckets_free(buckets);
}

TEST(keys_are_bounded_in_number_and_bytes_and_the_latest_are_kept)
{
    struct buckets *buckets = buckets_new(1, 1);
    char key[32];
    CHECK(take(buckets, "first", 0));
    for (int i = 0; i < 60000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        CHECK(take(buckets, key, 0));
        if (i % 1000 == 0)
            CHECK(!take(buckets, "first", 0)); /* asked for now and then: stays */
    }
    CHECK_EQ_INT(buckets_count(buckets), 50000);
    CHECK(take(buckets, "key 0", 0)); /* forgotten */
    static char large[1024 * 1024];
    for (int i = 0; i < 20; i++) {
        unsigned left;
        memset(large, 'a' + i, sizeof large);
        CHECK(buckets_take(buckets, (struct remora_slice){ large, sizeof large }, 0, &left));
    }
    CHECK(buckets_count(buckets) < 10);
    buckets_free(buckets);
    buckets_free(NULL);
}
