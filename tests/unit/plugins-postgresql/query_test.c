/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: what they are made of, and that nothing of a document becomes one. */
#include "plugins/postgresql/json.h"
#include "plugins/postgresql/query.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
init_layout(struct layout *layout, bool is_v2)
{
    static const struct table_settings tables = { .state = "app.state",
                                                  .metadata = "meta",
                                                  .level_key = "level" };
    layout_init(layout, &tables, is_v2);
}

/* "" or what is complained of. */
static const char *
compile(struct query *query, const char *document)
{
    static char why[QUERY_WHY_BYTES];
    struct layout layout;
    init_layout(&layout, false);
    bool ok = query_init(query, slice(document), slice("a||"), &layout, "app.state", 100, why);
    layout_fini(&layout);
    return ok ? "" : why;
}

TEST(names_and_values_are_parameters)
{
    struct query query;
    CHECK_EQ_STR(compile(&query, "{\"filter\":{\"OR\":[{\"EQ\":{\"a.b'\":\"'; DROP\"}},"
                                 "{\"IN\":{\"c\":[0.1,\"x\",true]}}]},"
                                 "\"sort\":[{\"key\":\"d\",\"order\":\"desc\"}],"
                                 "\"page\":{\"limit\":3,\"token\":\"6\"}}"),
                 "");
    static const char *const values[] = { "a||", "a", "b'", "'; DROP", "c", "x", "0.1", "d" };
    CHECK_EQ_INT(query.count, 8);
    for (int i = 0; i < query.count && i < 8; i++)
        CHECK_EQ_MEM(query.values[i], (size_t)query.lengths[i], values[i], strlen(values[i]));
    CHECK(strstr(query.sql, "DROP") == NULL && strstr(query.sql, "b'") == NULL);
    CHECK(strstr(query.sql, " LIMIT 3 OFFSET 6") != NULL);
    CHECK(strstr(query.sql, "s.doc -> $2::text -> $3::text") != NULL);
    query_fini(&query);
}

TEST(numbers_are_those_that_were_written)
{
    static const char *const numbers[] = { "0.1", "12345678.9", "-1e+300", "9007199254740991" };
    for (size_t i = 0; i < 4; i++) {
        struct query query;
        char document[80];
        snprintf(document, sizeof document, "{\"filter\":{\"GT\":{\"n\":%s}}}", numbers[i]);
        CHECK_EQ_STR(compile(&query, document), "");
        CHECK_EQ_STR(query.values[2], numbers[i]);
        query_fini(&query);
    }
}

TEST(malformed_documents_are_refused)
{
    static const char *const documents[] = { "",
                                             "[]",
                                             "{\"filter\":{\"EQ\":1}}",
                                             "{\"filter\":{\"LIKE\":{\"a\":1}}}",
                                             "{\"filter\":{\"GT\":{\"a\":true}}}",
                                             "{\"filter\":{\"EQ\":{\"a..b\":1}}}",
                                             "{\"filter\":{\"EQ\":{\"\":1}}}",
                                             "{\"filter\":{\"IN\":{\"a\":[]}}}",
                                             "{\"filter\":{\"IN\":{\"a\":[[1]]}}}",
                                             "{\"filter\":{\"EQ\":{\"a\":1e999}}}",
                                             "{\"sort\":[{}]}",
                                             "{\"page\":{\"limit\":-1}}",
                                             "{\"filter\":{\"EQ\":{\"a\":\"\\u0000\"}}}" };
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        struct query query;
        CHECK(*compile(&query, documents[i]) != '\0');
    }
}

TEST(a_transaction_ends_where_a_condition_does_not_hold)
{
    struct layout layout;
    init_layout(&layout, true);
    for (int i = 0; i < LAYOUT_STATEMENTS; i++)
        CHECK(layout.statements[i] != NULL && layout.statements[i][0] != '\0');
    CHECK(strstr(layout.statements[LAYOUT_SET_IF_ETAG_OR_FAIL], "1 / count(*)") != NULL);
    CHECK(strstr(layout.statements[LAYOUT_SET_IF_ETAG_OR_FAIL],
                 layout.statements[LAYOUT_SET_IF_ETAG]) != NULL);
    layout_fini(&layout);
}

TEST(tables_are_made_from_the_level_they_have)
{
    struct layout layout;
    const struct table_settings tables = { .state = "app.state",
                                           .metadata = "meta",
                                           .level_key = "k" };
    init_layout(&layout, false);
    char *script = layout_script(&layout, &tables, 2);
    CHECK(strstr(script, "CREATE TABLE") == NULL && strstr(script, "expiredate") == NULL);
    CHECK(strstr(script, "ALTER TABLE app.state ADD COLUMN row_id") != NULL);
    CHECK(strstr(script, "CREATE UNIQUE INDEX state_row_id_uidx ON app.state") != NULL);
    CHECK(strstr(script, "VALUES ('k', '3')") != NULL);
    free(script);
    layout_fini(&layout);
}

TEST(what_jsonb_cannot_hold_is_found)
{
    static const char *const fine[] = {
        "", "\"a\"", "\"\\\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\u0041\\n\"", "\"\\"
    };
    static const char *const odd[] = { "\"\\u0000\"",     "\"\\ud800\"",
                                       "\"\\udc00\"",     "\"\\ud800\\u0041\"",
                                       "\"\\\\\\u0000\"", "\"\\uD800\\uD800\"",
                                       "\"\\ud800" };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        CHECK(json_fits_jsonb(slice(fine[i])));
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        CHECK(!json_fits_jsonb(slice(odd[i])));
}
