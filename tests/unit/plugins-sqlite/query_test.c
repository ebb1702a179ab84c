/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries and key listings against a small table.
 */
#include "fixture.h"
#include "plugins/sqlite/functions.h"
#include "plugins/sqlite/query.h"
#include "plugins/sqlite/scan.h"

/* The data set of the state API's documentation, two rows of another application, and values that
 * are no objects. */
static void
fill(struct fixture *fixture)
{
    static const char *const people[][4] = {
        { "Dev Ops", "1036", "Seattle", "WA" },       { "Hardware", "1028", "Portland", "OR" },
        { "Finance", "1071", "Sacramento", "CA" },    { "Dev Ops", "1042", "Spokane", "WA" },
        { "Hardware", "1007", "Los Angeles", "CA" },  { "Finance", "1094", "Eugene", "OR" },
        { "Dev Ops", "1015", "San Francisco", "CA" }, { "Hardware", "1077", "Redmond", "WA" },
        { "Finance", "1002", "San Diego", "CA" },     { "Dev Ops", "1054", "New York", "NY" }
    };
    char key[32], value[200];
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "app||%02d", i + 1);
        snprintf(value, sizeof(value),
                 "{\"person\":{\"org\":\"%s\",\"id\":%s},\"city\":\"%s\",\"state\":\"%s\"%s}",
                 people[i][0], people[i][1], people[i][2], people[i][3],
                 i == 0   ? ",\"odd\":true"
                 : i == 1 ? ",\"odd\":1"
                 : i == 2 ? ",\"odd\":null"
                 : i == 3 ? ",\"odd\":[1]"
                 : i == 4 ? ",\"odd\":\"[1]\""
                          : "");
        CHECK(put(fixture, key, value, NULL) == NULL);
    }
    CHECK(put(fixture, "app|}1", "{\"state\":\"CA\"}", NULL) == NULL);
    CHECK(put(fixture, "bpp||1", "{\"state\":\"CA\"}", NULL) == NULL);
}

/* The keys found, without "app||", separated by blanks; then the token; or the error. */
static const char *
query(struct fixture *fixture, const char *document)
{
    static char found[4096];
    struct rows rows;
    rows_init(&rows);
    struct failure *failure = scan_query(&fixture->connection, "state", slice(document),
                                         slice("app||"), &rows);
    size_t at = 0;
    found[0] = '\0';
    if (failure != NULL)
        at += (size_t)snprintf(found, sizeof(found), "%s", failure->message);
    for (struct row *row = rows.first; row != NULL && at < sizeof(found); row = row->next)
        at += (size_t)snprintf(found + at, sizeof(found) - at, "%s%s", at > 0 ? " " : "",
                               row->key + strlen("app||"));
    if (rows.token != NULL)
        snprintf(found + at, sizeof(found) - at, " token %s", rows.token);
    failure_free(failure);
    rows_fini(&rows);
    return found;
}

TEST(without_a_filter_every_entry_of_the_application_is_found)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    CHECK_EQ_STR(query(&fixture, "{}"), "01 02 03 04 05 06 07 08 09 10");
    CHECK_EQ_STR(query(&fixture, " {\"filter\":{}, \"sort\":[], \"page\":{}} "),
                 "01 02 03 04 05 06 07 08 09 10");
    fixture_fini(&fixture);
}

TEST(comparisons_look_into_nested_values)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"state\":\"CA\"}}}"), "03 05 07 09");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"NEQ\":{\"state\":\"CA\"}}}"), "01 02 04 06 08 10");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"person.org\":\"Finance\"}}}"), "03 06 09");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"GT\":{\"person.id\":1054}}}"), "03 06 08");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"GTE\":{\"person.id\":1054.0}}}"), "03 06 08 10");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"LT\":{\"person.id\":1006.5}}}"), "09");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"LTE\":{\"city\":\"Los Angeles\"}}}"), "05 06");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"person.id\":\"1002\"}}}"), "");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"nothing\":1}}}"), "");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"NEQ\":{\"nothing\":1}}}"), "");
    fixture_fini(&fixture);
}

TEST(kinds_of_values_are_told_apart)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"odd\":true}}}"), "01");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"odd\":1}}}"), "02");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"odd\":null}}}"), "03");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"odd\":\"[1]\"}}}"), "05");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"odd\":false}}}"), "");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"IN\":{\"odd\":[\"[1]\",null,1,true,false]}}}"),
                 "01 02 03 05");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"NEQ\":{\"odd\":1}}}"), "01 03 04 05");
    fixture_fini(&fixture);
}

TEST(junctions_nest)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"OR\":[{\"EQ\":{\"person.org\":\"Dev Ops\"}},"
                                 "{\"AND\":[{\"EQ\":{\"person.org\":\"Finance\"}},"
                                 "{\"IN\":{\"state\":[\"CA\",\"WA\"]}}]}]},"
                                 "\"sort\":[{\"key\":\"state\",\"order\":\"DESC\"},"
                                 "{\"key\":\"person.id\"}],\"page\":{\"limit\":3}}"),
                 "01 04 10 token 3");
    CHECK_EQ_STR(query(&fixture,
                       "{\"filter\":{\"OR\":[{\"EQ\":{\"person.org\":\"Dev Ops\"}},"
                       "{\"AND\":[{\"EQ\":{\"person.org\":\"Finance\"}},"
                       "{\"IN\":{\"state\":[\"CA\",\"WA\"]}}]}]},"
                       "\"sort\":[{\"key\":\"state\",\"order\":\"DESC\"},"
                       "{\"key\":\"person.id\"}],\"page\":{\"limit\":3,\"token\":\"3\"}}"),
                 "09 07 03 token 6");
    CHECK_EQ_STR(query(&fixture, "{\"page\":{\"limit\":3,\"token\":\"9\"}}"), "10 token 10");
    CHECK_EQ_STR(query(&fixture, "{\"page\":{\"limit\":3,\"token\":\"10\"}}"), "");
    fixture_fini(&fixture);
}

TEST(saved_bytes_that_are_json_are_searched_and_expired_rows_are_not)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct remora_state_set binary = { .key = slice("app||b"), .value = slice("{\"n\": 5}") };
    struct remora_state_set text = { .key = slice("app||t"), .value = slice("not json \xff") };
    struct remora_state_set brief = { .key = slice("app||x"),
                                      .value = slice("{\"n\":5}"),
                                      .json = true,
                                      .has_ttl = true,
                                      .ttl_seconds = 100 };
    const char *etag = "00000000-0000-4000-8000-000000000000";
    CHECK(row_set(&fixture.connection, "state", &binary, etag) == NULL);
    CHECK(row_set(&fixture.connection, "state", &text, etag) == NULL);
    CHECK(row_set(&fixture.connection, "state", &brief, etag) == NULL);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"n\":5}}}"), "b x");
    timestamp_shift_s = 101;
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"n\":5}}}"), "b");
    CHECK_EQ_STR(query(&fixture, "{}"), "b t");
    fixture_fini(&fixture);
}

TEST(what_users_write_never_becomes_sql)
{
    struct fixture fixture;
    fixture_init(&fixture);
    CHECK(put(&fixture, "app||1", "{\"a'b\": \"x' OR 1=1 --\", \"$[*]\": 1, \"a b\": 2}", NULL) ==
          NULL);
    CHECK(put(&fixture, "app||2", "{\"a\": 1}", NULL) == NULL);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"a'b\":\"x' OR 1=1 --\"}}}"), "1");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"$[*]\":1}}}"), "1");
    CHECK_EQ_STR(query(&fixture, "{\"sort\":[{\"key\":\"a b\",\"order\":\"desc\"}]}"), "1 2");
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"a\\\"] --\":1}}}"),
                 "a key in the query cannot hold a quotation mark");
    fixture_fini(&fixture);
}

TEST(malformed_queries_are_refused_in_words)
{
    struct fixture fixture;
    fixture_init(&fixture);
    static const char *const cases[][2] = {
        { "", "the query is not a JSON object" },
        { "[]", "the query is not a JSON object" },
        { "{} {}", "the query is not a JSON object" },
        { "{\"filter\":", "the query is not a JSON object" },
        { "{\"filter\":[]}", "a filter must be an object with one operation" },
        { "{\"filter\":{\"EQ\":{\"a\":1},\"NEQ\":{\"a\":1}}}",
          "a filter must be an object with one operation" },
        { "{\"filter\":{\"LIKE\":{\"a\":1}}}", "unsupported filter operation 'LIKE'" },
        { "{\"filter\":{\"EQ\":{\"a\":1,\"b\":2}}}", "EQ in the query needs one key and value" },
        { "{\"filter\":{\"EQ\":{\"a\":{}}}}",
          "a value in the query must be a string, number, boolean or null" },
        { "{\"filter\":{\"GT\":{\"a\":true}}}",
          "a value to compare with must be a string or a number" },
        { "{\"filter\":{\"IN\":{\"a\":1}}}", "IN in the query needs one key and a list of values" },
        { "{\"filter\":{\"AND\":{}}}", "AND in the query needs a list of filters" },
        { "{\"filter\":{\"EQ\":{\"a..b\":1}}}", "key 'a..b' in the query has an empty part" },
        { "{\"filter\":{\"EQ\":{\"a\":1e999}}}", "a number in the query is out of range" },
        { "{\"filter\":{\"EQ\":{\"a\":\"x\\u0000y\"}}}",
          "the query cannot hold the NUL character" },
        { "{\"sort\":{}}", "a sort entry of the query needs a key" },
        { "{\"sort\":[{\"key\":\"a\",\"order\":\"UP\"}]}", "a sort order must be ASC or DESC" },
        { "{\"page\":{\"limit\":-1}}", "page.limit in the query must be a whole number" },
        { "{\"page\":{\"limit\":1,\"token\":\"x\"}}", "invalid page token in the query" },
    };
    for (size_t i = 1; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strcmp(cases[i][0], "{\"sort\":{}}") != 0)
            CHECK_EQ_STR(query(&fixture, cases[i][0]), cases[i][1]);
    CHECK_EQ_STR(query(&fixture, cases[0][0]), cases[0][1]);
    CHECK_EQ_STR(query(&fixture, "{\"sort\":{}}"), "sort in the query must be a list");
    fixture_fini(&fixture);
}

TEST(size_and_depth_of_queries_are_bounded)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    static char document[QUERY_BYTES_MAX + 100];
    size_t at = 0;
    at += (size_t)snprintf(document, sizeof(document), "{\"filter\":");
    for (int i = 0; i < 5000; i++)
        at += (size_t)snprintf(document + at, sizeof(document) - at, "{\"OR\":[");
    CHECK_EQ_STR(query(&fixture, document), "the query is nested deeper than 24 levels");

    memset(document, ' ', sizeof(document) - 1);
    document[0] = '{';
    document[sizeof(document) - 2] = '}';
    CHECK_EQ_STR(query(&fixture, document), "the query is longer than 65536 bytes");

    at = (size_t)snprintf(document, sizeof(document), "{\"filter\":{\"IN\":{\"state\":[\"CA\"");
    for (int i = 0; i < 4000; i++)
        at += (size_t)snprintf(document + at, sizeof(document) - at, ",%d", i);
    snprintf(document + at, sizeof(document) - at, "]}}}");
    CHECK_EQ_STR(query(&fixture, document), "03 05 07 09");

    at = (size_t)snprintf(document, sizeof(document), "{\"filter\":{\"OR\":[{\"EQ\":{\"a\":1}}");
    for (int i = 0; i < 3000; i++)
        at += (size_t)snprintf(document + at, sizeof(document) - at, ",{\"EQ\":{\"a\":1}}");
    snprintf(document + at, sizeof(document) - at, "]}}");
    CHECK_EQ_STR(query(&fixture, document), "the query has more than 800 filters");

    at = (size_t)snprintf(document, sizeof(document),
                          "{\"filter\":{\"OR\":[{\"EQ\":{\"state\":\"CA\"}}");
    for (int i = 0; i < 798; i++)
        at += (size_t)snprintf(document + at, sizeof(document) - at, ",{\"NEQ\":{\"a\":1}}");
    snprintf(document + at, sizeof(document) - at, "]}}");
    CHECK_EQ_STR(query(&fixture, document), "03 05 07 09");

    at = (size_t)snprintf(document, sizeof(document), "{\"filter\":{\"IN\":{\"state\":[\"CA\"");
    for (int i = 0; i < 5000; i++)
        at += (size_t)snprintf(document + at, sizeof(document) - at, ",%d", i);
    snprintf(document + at, sizeof(document) - at, "]}}}");
    CHECK_EQ_STR(query(&fixture, document), "the query has more than 4096 keys and values");
    fixture_fini(&fixture);
}

/* Documents one step away from good ones: whatever comes, it is answered. */
TEST(altered_queries_are_answered)
{
    static const char good[] =
        "{\"filter\":{\"OR\":[{\"EQ\":{\"person.org\":\"Dev Ops\"}},"
        "{\"IN\":{\"state\":[\"CA\",1,null,true]}},{\"NEQ\":{\"a\":-1.5e3}}]},"
        "\"sort\":[{\"key\":\"state\",\"order\":\"DESC\"}],"
        "\"page\":{\"limit\":3,\"token\":\"3\"}}";
    static const char alphabet[] = "{}[]\",:\\.0-1eEaQ\0\x80\xff%'$ ";
    struct fixture fixture;
    fixture_init(&fixture);
    fill(&fixture);
    uint32_t random = 12345;
    for (int i = 0; i < 3000; i++) {
        char document[sizeof(good)];
        memcpy(document, good, sizeof(good));
        for (int changes = 0; changes < 1 + i % 4; changes++) {
            random = random * 1664525 + 1013904223;
            size_t at = (random >> 8) % (sizeof(good) - 1);
            document[at] = alphabet[(random >> 20) % (sizeof(alphabet) - 1)];
        }
        struct rows rows;
        rows_init(&rows);
        struct remora_slice text = { document, (random >> 5) % 8 > 0
                                                   ? sizeof(good) - 1
                                                   : (random >> 9) % sizeof(good) };
        struct failure *failure = scan_query(&fixture.connection, "state", text, slice("app"),
                                             &rows);
        if (failure != NULL)
            CHECK_EQ_INT(failure->base.code, REMORA_INVALID_ARGUMENT);
        failure_free(failure);
        rows_fini(&rows);
    }
    fixture_fini(&fixture);
}

TEST(a_long_scan_ends_at_its_deadline)
{
    struct fixture fixture;
    fixture_init(&fixture);
    sqlite3_exec(fixture.connection.db,
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
                 "INSERT INTO state (key, value, is_binary, etag)"
                 " SELECT 'app||' || i, '{\"a\":' || i || '}', 0, 'e' FROM n",
                 NULL, NULL, NULL);
    connection_limit(&fixture.connection, 1, NULL);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"a\":-1}}}"), "interrupted (9)");
    connection_limit(&fixture.connection, 0, NULL);
    CHECK_EQ_STR(query(&fixture, "{\"filter\":{\"EQ\":{\"a\":77}}}"), "77");
    fixture_fini(&fixture);
}

/* --- keys --------------------------------------------------------------------------------------*/

static bool
like(const char *key, const char *pattern)
{
    return key_like(key, strlen(key), pattern, strlen(pattern));
}

TEST(patterns_match_as_in_sql_with_case)
{
    CHECK(like("abc", "abc") && !like("abc", "ABC") && !like("abc", "ab"));
    CHECK(like("abc", "%") && like("", "%") && !like("", "_") && like("", ""));
    CHECK(like("abc", "a%") && like("abc", "%c") && like("abc", "%b%") && !like("abc", "%d%"));
    CHECK(like("abc", "a_c") && !like("ac", "a_c") &&
          like("a\xc3\xa9"
               "c",
               "a_c"));
    CHECK(like("a%c", "a\\%c") && !like("abc", "a\\%c") && like("a_c", "a\\_c"));
    CHECK(like("a\\c", "a\\\\c") && like("abcabd", "%abd") && like("aXbXc", "a%b%c"));
    static char key[5000], pattern[5000];
    memset(key, 'a', sizeof(key) - 1);
    for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
        memcpy(pattern + i, "%a", 2);
    pattern[4000] = '\0';
    CHECK(like(key, pattern));
    strncat(pattern, "b", 2);
    CHECK(!like(key, pattern));
}

static const char *
keys(struct fixture *fixture, const char *pattern, uint32_t page_size, const char *token)
{
    static char found[4096];
    struct rows rows;
    rows_init(&rows);
    struct failure *failure = scan_keys(&fixture->connection, "state", slice(pattern), page_size,
                                        slice(token), &rows);
    size_t at = 0;
    found[0] = '\0';
    if (failure != NULL)
        at += (size_t)snprintf(found, sizeof(found), "%s", failure->message);
    for (struct row *row = rows.first; row != NULL; row = row->next)
        at += (size_t)snprintf(found + at, sizeof(found) - at, "%s%s", at > 0 ? " " : "", row->key);
    if (rows.token != NULL)
        snprintf(found + at, sizeof(found) - at, " > %s", rows.token);
    failure_free(failure);
    rows_fini(&rows);
    return found;
}

TEST(keys_are_listed_in_pages)
{
    struct fixture fixture;
    fixture_init(&fixture);
    static const char *const names[] = {
        "app||a", "app||b", "app||c", "app||A", "b", "app|x", "a_b"
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK(put(&fixture, names[i], "1", NULL) == NULL);
    CHECK_EQ_STR(keys(&fixture, "app||%", 0, ""), "app||A app||a app||b app||c");
    CHECK_EQ_STR(keys(&fixture, "app||%", 2, ""), "app||A app||a > app||a");
    CHECK_EQ_STR(keys(&fixture, "app||%", 2, "app||a"), "app||b app||c");
    CHECK_EQ_STR(keys(&fixture, "app||%", 2, "app||c"), "");
    CHECK_EQ_STR(keys(&fixture, "%", 0, "app||b"), "app||c b");
    CHECK_EQ_STR(keys(&fixture, "%", 0, "0"), "a_b app|x app||A app||a app||b app||c b");
    CHECK_EQ_STR(keys(&fixture, "app||_", 3, "app|"), "app||A app||a app||b > app||b");
    CHECK_EQ_STR(keys(&fixture, "a\\_b", 0, ""), "a_b");
    CHECK_EQ_STR(keys(&fixture, "none%", 5, ""), "");
    CHECK_EQ_STR(keys(&fixture, "", 5, ""), "the key pattern is empty or longer than 4096 bytes");
    fixture_fini(&fixture);
}

/* --- cleanup -----------------------------------------------------------------------------------*/

TEST(cleanup_removes_expired_rows_and_no_others)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct remora_state_set brief = {
        .key = slice("x"), .value = slice("1"), .json = true, .has_ttl = true, .ttl_seconds = 100
    };
    const char *etag = "00000000-0000-4000-8000-000000000000";
    CHECK(row_set(&fixture.connection, "state", &brief, etag) == NULL);
    brief.key = slice("y");
    CHECK(row_set(&fixture.connection, "state", &brief, etag) == NULL);
    CHECK(put(&fixture, "z", "1", NULL) == NULL);

    bool is_due = false;
    CHECK(scan_begin_cleanup(&fixture.connection, "metadata", "last-cleanup", 60000, &is_due) ==
              NULL &&
          is_due);
    CHECK(scan_begin_cleanup(&fixture.connection, "metadata", "last-cleanup", 60000, &is_due) ==
              NULL &&
          !is_due);
    static int64_t rowids[CLEANUP_BATCH_ROWS];
    int64_t rowid = 0;
    size_t count = 7;
    CHECK(scan_expired(&fixture.connection, "state", &rowid, rowids, &count) == NULL && count == 0);
    timestamp_shift_s = 200;
    CHECK(scan_expired(&fixture.connection, "state", &rowid, rowids, &count) == NULL && count == 2);
    CHECK(put(&fixture, "y", "2", NULL) == NULL); /* saved again in the meantime */
    CHECK(scan_delete_expired(&fixture.connection, "state", rowids, count) == NULL);
    CHECK_TEXT(&fixture,
               "SELECT group_concat(key || value) FROM (SELECT * FROM state ORDER BY key)",
               "y2,z1");
    fixture_fini(&fixture);
}
