/* SPDX-License-Identifier: Apache-2.0 */
/* One table handed over to another. */
#include "plugins/in-memory/handover.h"

#include <stdlib.h>

#include "test.h"

static unsigned random_state = 7;

static unsigned
random_below(unsigned limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

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

/* Whether both have the same of that key. */
static bool
is_same(struct table *a, struct table *b, const char *key)
{
    const struct entry *x = table_get(a, text(key), 1), *y = table_get(b, text(key), 1);
    if (x == NULL || y == NULL)
        return x == y;
    return x->expires_unix_ms == y->expires_unix_ms && strcmp(x->etag, y->etag) == 0 &&
           x->value.len == y->value.len && memcmp(x->value.data, y->value.data, y->value.len) == 0;
}

/* Carries what there is after `cursor`, one piece; returns the new cursor. */
static uint64_t
carry_one(struct table *from, struct table *to, uint64_t cursor)
{
    char *piece;
    size_t bytes;
    REQUIRE(table_export(from, cursor));
    REQUIRE(handover_pack(from, &piece, &bytes));
    CHECK(handover_apply(to, (struct remora_slice){ piece, bytes }));
    free(piece);
    return from->export_cursor;
}

static uint64_t
carry(struct table *from, struct table *to, uint64_t cursor)
{
    do
        cursor = carry_one(from, to, cursor);
    while (from->export_next != NULL);
    return cursor;
}

TEST(values_etags_and_expiry_are_the_same_afterwards)
{
    struct table from, to;
    REQUIRE(table_init(&from) && table_init(&to));
    put(&from, "a", "1", 0);
    put(&from, "", "", 0);
    put(&from, "soon", "x", 1234567890123);
    carry(&from, &to, 0);
    CHECK_EQ_INT(to.count, 3);
    CHECK_EQ_INT(to.expiring, 1);
    CHECK(is_same(&from, &to, "a") && is_same(&from, &to, "") && is_same(&from, &to, "soon"));
    table_fini(&from);
    table_fini(&to);
}

TEST(what_changes_meanwhile_follows)
{
    struct table from, to;
    REQUIRE(table_init(&from) && table_init(&to));
    put(&from, "kept", "1", 0);
    put(&from, "changed", "1", 0);
    put(&from, "deleted", "1", 0);
    uint64_t cursor = carry(&from, &to, 0);
    put(&from, "changed", "2", 0);
    table_remove(&from, text("deleted"));
    put(&from, "brief", "1", 0);
    table_remove(&from, text("brief"));
    put(&from, "new", "1", 0);
    table_remove(&from, text("kept"));
    put(&from, "kept", "again", 0);
    cursor = carry(&from, &to, cursor);
    static const char *const keys[] = { "kept", "changed", "deleted", "brief", "new" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        CHECK(is_same(&from, &to, keys[i]));
    CHECK_EQ_INT(to.count, 3);
    CHECK(cursor == carry(&from, &to, cursor));
    table_fini(&from);
    table_fini(&to);
}

TEST(a_random_life_is_followed_exactly)
{
    struct table from, to;
    char key[8], value[16];
    uint64_t cursor = 0;
    REQUIRE(table_init(&from) && table_init(&to));
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof key, "k%u", random_below(200));
        (void)snprintf(value, sizeof value, "%u", i);
        if (random_below(3) == 0)
            table_remove(&from, text(key));
        else
            put(&from, key, value, random_below(2) == 0 ? 0 : 99999);
        if (random_below(50) == 0)
            cursor = carry_one(&from, &to, cursor);
    }
    carry(&from, &to, cursor);
    CHECK_EQ_INT(to.count, from.count);
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        CHECK(is_same(&from, &to, key));
    }
    table_export_end(&from);
    size_t remembered = 0;
    for (const struct entry *entry = from.oldest; entry != NULL; entry = entry->newer)
        remembered++;
    CHECK_EQ_INT(remembered, from.count);
    table_fini(&from);
    table_fini(&to);
}

TEST(much_goes_in_several_pieces)
{
    static char value[100001];
    struct table from, to;
    char key[8];
    unsigned pieces = 0;
    uint64_t cursor = 0;
    memset(value, 'v', sizeof value - 1);
    REQUIRE(table_init(&from) && table_init(&to));
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        put(&from, key, value, 0);
    }
    do {
        cursor = carry_one(&from, &to, cursor);
        pieces++;
    } while (from.export_next != NULL);
    CHECK_EQ_INT(pieces, 7);
    CHECK_EQ_INT(to.count, 20);
    table_fini(&from);
    table_fini(&to);
}

TEST(a_cursor_of_nowhere_is_refused)
{
    struct table from, to;
    REQUIRE(table_init(&from) && table_init(&to));
    put(&from, "a", "1", 0);
    CHECK(!table_export(&from, 1));
    uint64_t cursor = carry(&from, &to, 0);
    CHECK(!table_export(&from, cursor + 1));
    table_export_end(&from);
    CHECK(!table_export(&from, cursor));
    CHECK(table_export(&from, 0));
    table_fini(&from);
    table_fini(&to);
}

TEST(a_malformed_piece_is_refused)
{
    struct table from, to;
    char *piece;
    size_t bytes = 0;
    REQUIRE(table_init(&from) && table_init(&to));
    put(&from, "key", "value", 0);
    REQUIRE(table_export(&from, 0) && handover_pack(&from, &piece, &bytes));
    for (size_t cut = 0; cut < bytes; cut++)
        if (cut != 1) /* no change at all */
            CHECK(!handover_apply(&to, (struct remora_slice){ piece, cut }));
    piece[1] = 3;
    CHECK(!handover_apply(&to, (struct remora_slice){ piece, bytes }));
    piece[0] = 2;
    CHECK(!handover_apply(&to, (struct remora_slice){ piece, bytes }));
    CHECK_EQ_INT(to.count, 0);
    free(piece);
    table_fini(&from);
    table_fini(&to);
}
