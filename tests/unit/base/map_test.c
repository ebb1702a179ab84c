/* SPDX-License-Identifier: Apache-2.0 */
/* Maps from bytes to pointers. */
#include "base/map.h"

#include "test.h"

static char values[5000];

static struct slice
key_of(int i)
{
    static char text[32];
    return slice_of(text, (size_t)snprintf(text, sizeof text, "key-%d", i));
}

TEST(an_empty_map_has_nothing)
{
    struct map map;
    map_init(&map);
    size_t cursor = 0;
    struct slice key;
    void *value;
    CHECK(map_get(&map, SLICE("a")) == NULL);
    CHECK(map_remove(&map, SLICE("a")) == NULL);
    CHECK(!map_next(&map, &cursor, &key, &value));
    map_fini(&map);
    map_fini(&map);
}

TEST(thousands_of_keys_are_kept_and_removed)
{
    struct map map;
    map_init(&map);
    for (int i = 0; i < 5000; i++)
        CHECK(map_put(&map, key_of(i), &values[i]) == NULL);
    CHECK_EQ_INT(map.count, 5000);
    for (int i = 0; i < 5000; i++)
        REQUIRE(map_get(&map, key_of(i)) == &values[i]);
    for (int i = 0; i < 5000; i += 2)
        REQUIRE(map_remove(&map, key_of(i)) == &values[i]);
    CHECK_EQ_INT(map.count, 2500);
    for (int i = 0; i < 5000; i++)
        REQUIRE(map_get(&map, key_of(i)) == (i % 2 == 0 ? NULL : &values[i]));
    CHECK(map_remove(&map, key_of(0)) == NULL);
    CHECK_EQ_INT(map.count, 2500);
    map_fini(&map);
}

TEST(a_second_put_replaces)
{
    struct map map;
    map_init(&map);
    char key[] = "k";
    CHECK(map_put(&map, slice_str(key), &values[1]) == NULL);
    key[0] = 'x'; /* the map has its own copy */
    CHECK_EQ_PTR(map_put(&map, SLICE("k"), &values[2]), &values[1]);
    CHECK_EQ_PTR(map_get(&map, SLICE("k")), &values[2]);
    CHECK_EQ_INT(map.count, 1);
    CHECK_EQ_PTR(map_remove(&map, SLICE("k")), &values[2]);
    CHECK(map_put(&map, SLICE("k"), &values[3]) == NULL);
    CHECK_EQ_PTR(map_get(&map, SLICE("k")), &values[3]);
    CHECK_EQ_INT(map.count, 1);
    map_fini(&map);
}

TEST(keys_may_be_empty_or_hold_nuls)
{
    struct map map;
    map_init(&map);
    CHECK(map_put(&map, SLICE_EMPTY, &values[1]) == NULL);
    CHECK(map_put(&map, SLICE("\0"), &values[2]) == NULL);
    CHECK_EQ_PTR(map_get(&map, slice_of(NULL, 0)), &values[1]);
    CHECK_EQ_PTR(map_get(&map, SLICE("\0")), &values[2]);
    map_fini(&map);
}

TEST(coming_and_going_does_not_grow_the_map)
{
    struct map map;
    map_init(&map);
    for (int i = 0; i < 100000; i++) {
        REQUIRE(map_put(&map, key_of(i), &values[0]) == NULL);
        REQUIRE(map_remove(&map, key_of(i)) != NULL);
    }
    CHECK_EQ_INT(map.count, 0);
    CHECK(map.capacity <= 16);
    map_fini(&map);
}

TEST(iteration_sees_each_entry_once_and_may_remove_it)
{
    struct map map;
    map_init(&map);
    for (int i = 0; i < 1000; i++)
        (void)map_put(&map, key_of(i), &values[i]); /* new each time */
    bool seen[1000] = { false };
    size_t cursor = 0, count = 0;
    struct slice key;
    void *value;
    while (map_next(&map, &cursor, &key, &value)) {
        size_t i = (size_t)((char *)value - values);
        REQUIRE(i < 1000 && !seen[i]);
        CHECK_EQ_SLICE(key, key_of((int)i));
        seen[i] = true;
        count++;
        CHECK_EQ_PTR(map_remove(&map, key), value);
    }
    CHECK_EQ_INT(count, 1000);
    CHECK_EQ_INT(map.count, 0);
    map_fini(&map);
}
