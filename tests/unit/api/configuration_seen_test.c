/* SPDX-License-Identifier: Apache-2.0 */
/* What was read of a key before it is subscribed: once, and only where it is another value. */
#include "api/configuration_seen.h"

#include "base/limits.h"
#include "test.h"

static const struct slice store = { "store", 5 };

static struct configuration_item
item(const char *key, const char *value, const char *version)
{
    return (struct configuration_item){ .key = slice_str(key),
                                        .value = slice_str(value),
                                        .version = slice_str(version) };
}

static void
read_key(const char *key, const struct configuration_item *found)
{
    struct slice name = slice_str(key);
    const struct configuration_query query = { .keys = &name, .key_count = 1 };
    configuration_seen_note(store, &query, found, found == NULL ? 0 : 1);
}

static bool
is_other(const char *key, const struct configuration_item *now)
{
    return configuration_seen_other(store, slice_str(key),
                                    now == NULL ? configuration_fingerprint_absent()
                                                : configuration_fingerprint(now));
}

TEST(fingerprints_tell_items_apart)
{
    const struct configuration_item a = item("k", "ab", "c"), b = item("k", "a", "bc"),
                                    none = item("k", "", ""), again = item("other", "ab", "c");
    CHECK(configuration_fingerprint(&a) != configuration_fingerprint(&b));
    CHECK(configuration_fingerprint(&a) == configuration_fingerprint(&again));
    CHECK(configuration_fingerprint(&none) == configuration_fingerprint_absent());
}

TEST(the_order_of_metadata_does_not_count)
{
    const struct pair forth[] = { { SLICE("a"), SLICE("1") }, { SLICE("b"), SLICE("2") } };
    const struct pair back[] = { { SLICE("b"), SLICE("2") }, { SLICE("a"), SLICE("1") } };
    struct configuration_item a = item("k", "v", "1"), b = item("k", "v", "1");
    a.metadata = forth;
    b.metadata = back;
    a.metadata_count = b.metadata_count = 2;
    CHECK(configuration_fingerprint(&a) == configuration_fingerprint(&b));
    b.metadata_count = 1;
    CHECK(configuration_fingerprint(&a) != configuration_fingerprint(&b));
}

TEST(a_key_that_was_never_read_is_no_news)
{
    const struct configuration_item now = item("fresh", "1", "1");
    CHECK(!is_other("fresh", &now));
}

TEST(another_value_is_news_once)
{
    const struct configuration_item was = item("k", "1", "1"), now = item("k", "2", "2");
    read_key("k", &was);
    CHECK(is_other("k", &now));
    CHECK(!is_other("k", &now));
    read_key("k", &was);
    CHECK(!is_other("k", &was));
}

TEST(a_key_that_came_or_went_is_news)
{
    const struct configuration_item there = item("k", "1", "1");
    read_key("k", NULL);
    CHECK(is_other("k", &there));
    read_key("k", &there);
    CHECK(is_other("k", NULL));
}

TEST(two_values_that_were_given_are_news_whatever_there_is)
{
    const struct configuration_item one = item("k", "1", "1"), two = item("k", "2", "2");
    read_key("k", &one);
    read_key("k", &two);
    CHECK(is_other("k", &two));
}

/* Last: it is remembered for good. */
TEST(what_did_not_fit_is_taken_for_news)
{
    const struct configuration_item now = item("beyond", "1", "1");
    char key[32];
    for (int i = 0; i <= LIMIT_configuration_seen_max; i++) {
        snprintf(key, sizeof key, "key %d", i);
        read_key(key, NULL);
    }
    CHECK(is_other("beyond", &now));
    for (int i = 0; i < LIMIT_configuration_seen_max; i++) {
        snprintf(key, sizeof key, "key %d", i);
        CHECK(!is_other(key, NULL));
    }
}
