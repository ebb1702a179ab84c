/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table of the in-memory store. */
#include "plugins/in-memory/table.h"

#include "test.h"

static struct remora_slice
text(const char *string)
{
    return (struct remora_slice){ string, strlen(string) };
}

static struct remora_bytes
bytes(const char *string)
{
    return (struct remora_bytes){ .data = string, .len = strlen(string) };
}

static void
put(struct table *table, const char *key, const char *value, int64_t expires)
{
    struct entry *entry = entry_new(table, text(key), bytes(value), expires);
    REQUIRE(entry != NULL);
    table_put(table, entry);
}

static bool
has(struct table *table, const char *key, const char *value, int64_t now)
{
    const struct entry *entry = table_get(table, text(key), now);
    return entry != NULL && remora_slice_eq(entry->value, value);
}

TEST(values_are_found_replaced_and_removed)
{
    struct table table;
    REQUIRE(table_init(&table));
    put(&table, "a", "1", 0);
    put(&table, "", "empty", 0);
    put(&table, "a", "2", 0);
    CHECK(has(&table, "a", "2", 0));
    CHECK(has(&table, "", "empty", 0));
    CHECK_EQ_INT(table.count, 2);
    table_remove(&table, text("a"));
    table_remove(&table, text("a"));
    CHECK(!has(&table, "a", "2", 0));
    CHECK_EQ_INT(table.count, 1);
    table_fini(&table);
}

TEST(ten_thousand_keys_survive_growing)
{
    struct table table;
    char key[20];
    REQUIRE(table_init(&table));
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        put(&table, key, key, 0);
    }
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        if (!CHECK(has(&table, key, key, 0)))
            break;
    }
    CHECK_EQ_INT(table.count, 10000);
    CHECK(table.bucket_count >= 8192);
    table_fini(&table);
}

TEST(expired_values_are_invisible_and_swept)
{
    struct table table;
    REQUIRE(table_init(&table));
    put(&table, "soon", "x", 100);
    put(&table, "late", "x", 200);
    put(&table, "never", "x", 0);
    CHECK(has(&table, "soon", "x", 99));
    CHECK(!has(&table, "soon", "x", 100));
    CHECK_EQ_INT(table.count, 2);
    table_sweep(&table, 200, table.bucket_count);
    CHECK_EQ_INT(table.count, 1);
    CHECK_EQ_INT(table.expiring, 0);
    CHECK(has(&table, "never", "x", 1000));
    table_fini(&table);
}

static bool
is_doomed(const struct entry *entry, void *arg)
{
    unsigned *seen = arg;
    ++*seen;
    return entry->key.data[0] == 'd';
}

TEST(a_scan_sees_every_living_entry_and_may_remove_it)
{
    struct table table;
    unsigned seen = 0;
    REQUIRE(table_init(&table));
    put(&table, "d1", "x", 0);
    put(&table, "k1", "x", 0);
    put(&table, "d2", "x", 0);
    put(&table, "k2", "x", 5);
    table_scan(&table, 10, is_doomed, &seen);
    CHECK_EQ_INT(seen, 3);
    CHECK_EQ_INT(table.count, 1);
    table_fini(&table);
}

static void
count_release(void *arg)
{
    ++*(int *)arg;
}

TEST(a_kept_value_is_given_up_when_neither_table_nor_reply_uses_it)
{
    struct table table;
    int released = 0;
    REQUIRE(table_init(&table));
    const struct remora_bytes kept = { "large", 5, count_release, &released };
    table_put(&table, entry_new(&table, text("k"), kept, 0));
    struct entry *sending = table_get(&table, text("k"), 1);
    REQUIRE(sending != NULL);
    sending->users++;
    put(&table, "k", "new", 0);
    CHECK_EQ_INT(released, 0);
    CHECK(remora_slice_eq(sending->value, "large"));
    entry_drop(sending);
    entry_drop(NULL); /* a deletion of a transaction that is refused has no entry */
    CHECK_EQ_INT(released, 1);
    table_put(&table, entry_new(&table, text("k"), kept, 0));
    table_remove(&table, text("k"));
    CHECK_EQ_INT(released, 2);
    table_fini(&table);
}

TEST(what_is_deleted_during_an_export_is_remembered_without_its_value)
{
    struct table table;
    int released = 0;
    REQUIRE(table_init(&table));
    const struct remora_bytes kept = { "large", 5, count_release, &released };
    table_put(&table, entry_new(&table, text("k"), kept, 0));
    REQUIRE(table_export(&table, 0));
    table_export_step(&table);
    table_remove(&table, text("k"));
    CHECK_EQ_INT(released, 1);
    REQUIRE(table.export_next != NULL);
    CHECK(table.export_next->is_deleted);
    CHECK(remora_slice_eq(table.export_next->key, "k"));
    CHECK_EQ_INT(table.export_next->value.len, 0);
    table_fini(&table);
}
