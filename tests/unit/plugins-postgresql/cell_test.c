/* SPDX-License-Identifier: Apache-2.0 */
/* Values of results as JSON, of any text, and parameters as texts. */
#include "plugins/postgresql/cell.h"
#include "plugins/postgresql/params.h"
#include "test.h"

static void
check_cell(Oid type, const char *value, const char *wanted)
{
    struct text text = { 0 };
    CHECK(cell_put(&text, type, value));
    CHECK_EQ_MEM(text.bytes, text.len, wanted, strlen(wanted));
    free(text.bytes);
}

TEST(types_are_told_as_the_reference_does)
{
    check_cell(16, "t", "true");
    check_cell(17, "\\x00ff", "\"AP8=\"");
    check_cell(25, "a\"b", "\"a\\\"b\"");
    check_cell(1114, "2020-02-29 01:02:03.120", "\"2020-02-29T01:02:03.12Z\"");
    check_cell(1184, "2020-01-01 00:30:00+01", "\"2019-12-31T23:30:00Z\"");
    check_cell(1186, "-1 days +02:00:00",
               "{\"Microseconds\":7200000000,\"Days\":-1,\"Months\":0,\"Valid\":true}");
    check_cell(3802, "{\"a\": \" x\\\" \", \"b\": [1, 2]}", "{\"a\":\" x\\\" \",\"b\":[1,2]}");
    check_cell(1007, "{1,NULL,{2}}", "[1,null,[2]]");
    check_cell(1009, "[0:1]={a,\"NU\\\"LL\"}", "[\"a\",\"NU\\\"LL\"]");
    check_cell(99999, "red", "\"red\"");
}

TEST(only_numbers_are_told_as_numbers)
{
    check_cell(23, "-12", "-12");
    check_cell(701, "1.5e+20", "1.5e+20");
    check_cell(701, "1e-05", "1e-05");
    check_cell(1700, "0.50", "0.50");
    check_cell(1700, "NaN", "\"NaN\"");
    static const char *const others[] = { "",   "-",    "1.",   ".5",  "01",      "1e",
                                          "1-", "1e+x", "0x10", "1 2", "1,\"a\"", "1.2.3" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct text text = { 0 }, wanted = { 0 };
        CHECK(cell_put(&text, i % 2 == 0 ? 20 : 1700, others[i]));
        text_put_string(&wanted, others[i]);
        CHECK_EQ_MEM(text.bytes, text.len, wanted.bytes, wanted.len);
        free(text.bytes);
        free(wanted.bytes);
    }
}

TEST(values_of_another_form_are_texts_and_end_nothing)
{
    static const Oid types[] = { 17,   829,  869,  1007, 1009, 1082, 1083,
                                 1114, 1184, 1186, 1187, 2950, 2951, 3802 };
    static const char *const values[] = { "",
                                          "\\x",
                                          "\\xf",
                                          "{",
                                          "{,",
                                          "{{{{{{{{{{",
                                          "{\"",
                                          "{\"\\",
                                          "{{{1}",
                                          "[=",
                                          "[",
                                          "1-",
                                          "1-2-3 4",
                                          "2020-01-01 1:2:3+x",
                                          "12:",
                                          "1 ",
                                          "-",
                                          "1 day 2",
                                          "99999999999999999999 days" };
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            struct text text = { 0 };
            char *value = strdup(values[v]);        /* sanitizers see what is read behind it */
            (void)cell_put(&text, types[t], value); /* whatever it says of it */
            free(value);
            free(text.bytes);
        }
    }
    struct text text = { 0 };
    CHECK(!cell_put(&text, 701, "NaN"));
    free(text.bytes);
}

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

TEST(parameters_are_texts)
{
    struct params params;
    char why[PARAMS_WHY_BYTES];
    CHECK(params_init(
        &params,
        slice(" [1, 1.0, 0.1, -2e3, \"a\", null, true, {\"x\": [1]}, [\"b\\\"\", null, [2]]] "),
        why));
    static const char *const wanted[] = { "1",     "1",           "0.1",
                                          "-2000", "a",           NULL,
                                          "true",  "{\"x\":[1]}", "[\"b\\\"\",null,[2]]" };
    CHECK_EQ_INT(params.count, 9);
    for (int i = 0; i < params.count && i < 9; i++)
        CHECK_EQ_STR(params.values[i] == NULL ? "NULL" : params.values[i],
                     wanted[i] == NULL ? "NULL" : wanted[i]);
    CHECK(params.has_list);
    params_make_arrays(&params);
    CHECK_EQ_STR(params.values[8], "{\"b\\\"\",NULL,{\"2\"}}");
    CHECK_EQ_STR(params.values[7], "{\"x\":[1]}");
    params_fini(&params);
    CHECK(params_init(&params, slice(""), why) && params.count == 0);
    CHECK(params_init(&params, slice("null"), why) && params.count == 0);
    params_fini(&params);
}

TEST(what_is_no_list_is_refused)
{
    static const char *const texts[] = { "{", "{}", "1", "[1] 2", "[", "\"x\"" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct params params;
        char why[PARAMS_WHY_BYTES];
        CHECK(!params_init(&params, slice(texts[i]), why));
    }
}
