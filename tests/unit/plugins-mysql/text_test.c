/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: what comes from outside stays inside its quotes. */
#include "plugins/mysql/text.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
check(struct text *text, const char *expected, size_t len)
{
    CHECK_EQ_INT(text->len, len);
    CHECK(text->len == len && memcmp(text->data, expected, len) == 0);
    text_clear(text);
}

TEST(a_quoted_value_ends_where_it_ends)
{
    MYSQL *db = mysql_init(NULL);
    struct text text = { .data = NULL };
    text_quote(&text, db, slice("plain"));
    check(&text, "'plain'", 7);
    text_quote(&text, db, (struct remora_slice){ NULL, 0 });
    check(&text, "''", 2);
    text_quote(&text, db, slice("'; DROP TABLE state; --"));
    check(&text, "'\\'; DROP TABLE state; --'", 26);
    text_quote(&text, db, slice("\\"));
    check(&text, "'\\\\'", 4);
    text_quote(&text, db, (struct remora_slice){ "a\0b", 3 });
    check(&text, "'a\\0b'", 6);
    text_fini(&text);
    mysql_close(db);
}

TEST(bytes_are_a_json_string_of_base64)
{
    struct text text = { .data = NULL };
    text_base64(&text, (struct remora_slice){ "\xff\x00'", 3 });
    check(&text, "'\"/wAn\"'", 8);
    text_base64(&text, (struct remora_slice){ NULL, 0 });
    check(&text, "'\"\"'", 4);
    text_fini(&text);
}

TEST(a_large_statement_gives_its_memory_back)
{
    struct text text = { .data = NULL };
    for (int i = 0; i < 100000; i++)
        text_add(&text, "%d,", i % 1000);
    CHECK(text.len > 300000 && text.cap >= text.len);
    text_clear(&text);
    CHECK_EQ_INT(text.cap, 0);
    text_put(&text, "again");
    check(&text, "again", 5);
    text_fini(&text);
}
