/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers for handlers: metadata, Go's booleans and durations, UUIDs, clean text. */
#include "sdk-plugin/c/src/sdk.h"
#include "test.h"

static struct remora_slice
text(const char *string)
{
    return to_remora(slice_str(string));
}

TEST(metadata_names_ignore_case_and_the_last_one_wins)
{
    const struct remora_pair pairs[] = { { text("Host"), text("a") },
                                         { text("port"), text("1") },
                                         { text("HOST"), text("b") } };
    struct remora_slice value;
    CHECK(remora_metadata_get(pairs, 3, "host", &value));
    CHECK(remora_slice_eq(value, "b"));
    CHECK(!remora_metadata_get(pairs, 3, "hos", &value));
    CHECK(!remora_metadata_get(NULL, 0, "host", &value));
}

TEST(booleans_are_read_as_components_write_them)
{
    static const char *const truthy[] = { "1", "t", "TRUE", "true", "y", "Yes", "on", " true " };
    static const char *const falsy[] = { "0", "f", "False", "no", "N", "off" };
    static const char *const neither[] = { "", "2", "truee", "ja" };
    bool value;
    for (size_t i = 0; i < ARRAY_LEN(truthy); i++)
        CHECK(remora_parse_bool(text(truthy[i]), &value) && value);
    for (size_t i = 0; i < ARRAY_LEN(falsy); i++)
        CHECK(remora_parse_bool(text(falsy[i]), &value) && !value);
    for (size_t i = 0; i < ARRAY_LEN(neither); i++)
        CHECK(!remora_parse_bool(text(neither[i]), &value));
}

TEST(durations_are_read_as_go_reads_them)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        { "30s", 30000 },    { "1h30m", 5400000 }, { "250ms", 250 },    { "1.5h", 5400000 },
        { "-2s", -2000 },    { "+2s", 2000 },      { "0", 0 },          { "45", 45000 },
        { "-1", -1000 },     { "1500us", 1 },      { "999999ns", 0 },   { ".5s", 500 },
        { "1.s", 1000 },     { "1m0.5s", 60500 },  { "1\xc2\xb5s", 0 }, { "100h", 360000000 },
        { "0.1ms1s", 1000 },
    };
    static const char *const bad[] = { "",
                                       "s",
                                       "1x",
                                       "1.2.3s",
                                       "1s ",
                                       "h1",
                                       "1 s",
                                       "-",
                                       "1h30",
                                       ".s",
                                       "9999999h99999999999h",
                                       "0x1",
                                       "99999999999999999999s" };
    int64_t ms;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (CHECK(remora_parse_duration_ms(text(good[i].text), &ms)))
            CHECK_EQ_INT(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!CHECK(!remora_parse_duration_ms(text(bad[i]), &ms)))
            fprintf(stderr, "  %s\n", bad[i]);
}

TEST(integers_leave_nothing_over)
{
    int64_t value;
    CHECK(remora_parse_i64(text("-12"), &value) && value == -12);
    CHECK(remora_parse_i64(text("+12"), &value) && value == 12);
    CHECK(!remora_parse_i64(text("12 "), &value));
    CHECK(!remora_parse_i64(text(""), &value));
    CHECK(!remora_parse_i64(text("9223372036854775808"), &value));
}

TEST(uuids_are_version_4_and_differ)
{
    char a[37], b[37];
    for (unsigned i = 0; i < 200; i++) {
        remora_uuid(a);
        CHECK_EQ_INT(strlen(a), 36);
        CHECK(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
        CHECK(a[14] == '4' && strchr("89ab", a[19]) != NULL);
        CHECK_EQ_INT(strspn(a, "0123456789abcdef-"), 36);
        if (i > 0)
            CHECK(strcmp(a, b) != 0);
        memcpy(b, a, sizeof a);
    }
}

TEST(slices_become_strings_unless_they_hold_a_nul)
{
    char *copy = remora_slice_dup(text("abc"));
    CHECK_EQ_STR(copy, "abc");
    free(copy);
    CHECK(remora_slice_dup((struct remora_slice){ .data = "a\0b", .len = 3 }) == NULL);
}

TEST(error_texts_are_cut_between_characters_and_are_always_utf_8)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_SLICE_IS(text_clean(&arena, SLICE("plain"), 100), "plain");
    CHECK_SLICE_IS(text_clean(&arena, SLICE("aü"), 2), "a");
    CHECK_SLICE_IS(text_clean(&arena, SLICE("aü"), 3), "aü");
    CHECK_SLICE_IS(text_clean(&arena,
                              SLICE("a\xff"
                                    "b"),
                              100),
                   "a?b");
    arena_fini(&arena);
}
