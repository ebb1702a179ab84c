/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as entries of a stream: what is written, and what is made of anything that is read. */
#include "plugins/redis/entry.h"

#include "test.h"

/* A test runs on the stack of the process, which has room. */
#pragma GCC diagnostic ignored "-Wframe-larger-than="

#define SLICE(literal) ((struct remora_slice){ literal, sizeof(literal) - 1 })
#define TEXT(literal) ((struct resp_value){ .type = RESP_STRING, .text = SLICE(literal) })
#define ARRAY(...)                                                                                 \
    ((struct resp_value){ .type = RESP_ARRAY,                                                      \
                          .count = sizeof((const struct resp_value[]){ __VA_ARGS__ }) /            \
                                   sizeof(struct resp_value),                                      \
                          .items = (const struct resp_value[]){ __VA_ARGS__ } })

static void
check_slice(struct remora_slice got, const char *wanted)
{
    CHECK(remora_slice_eq(got, wanted));
}

static void
check_metadata(const struct remora_pair *pairs, size_t count, const char *wanted)
{
    struct resp_buf buf = { 0 };
    entry_put_metadata(&buf, pairs, count);
    check_slice((struct remora_slice){ buf.data, buf.len }, wanted);
    resp_buf_fini(&buf);
}

TEST(metadata_are_an_object_with_sorted_names)
{
    const struct remora_pair pairs[] = {
        { SLICE("ttlInSeconds"), SLICE("600") },
        { SLICE("a"), SLICE("first") },
        { SLICE("cloudevent.id"), SLICE("x") },
        { SLICE("a"), SLICE("last") },
    };
    check_metadata(NULL, 0, "{}");
    check_metadata(pairs, 4, "{\"a\":\"last\",\"cloudevent.id\":\"x\",\"ttlInSeconds\":\"600\"}");
}

TEST(metadata_are_escaped_as_the_reference_does)
{
    const struct remora_pair pairs[] = {
        { SLICE("q\"\\"), SLICE("<a>&\n\r\t\x01") },
        { SLICE("u"), SLICE("\xc3\xa9 \xe2\x80\xa8\xe2\x80\xa9 \xe2\x80") },
        { SLICE("v"), { NULL, 0 } },
    };
    check_metadata(pairs, 3,
                   "{\"q\\\"\\\\\":\"\\u003ca\\u003e\\u0026\\n\\r\\t\\u0001\","
                   "\"u\":\"\xc3\xa9 \\u2028\\u2029 \xe2\x80\",\"v\":\"\"}");
}

TEST(fields_come_in_any_order)
{
    const struct resp_value value = ARRAY(
        TEXT("5-7"), ARRAY(TEXT("metadata"), TEXT("{\"b\":\"2\",\"n\":1,\"a\":\"\"}"), TEXT("x"),
                           TEXT("y"), TEXT("data"), TEXT("a\0b")));
    struct entry *entry = entry_new(&value);
    REQUIRE(entry != NULL);
    check_slice(entry->message.id, "5-7");
    CHECK_EQ_INT(entry->message.data.len, 3);
    CHECK(memcmp(entry->message.data.data, "a\0b", 3) == 0);
    REQUIRE(entry->message.metadata_count == 2);
    check_slice(entry->message.metadata[0].name, "b");
    check_slice(entry->message.metadata[0].value, "2");
    check_slice(entry->message.metadata[1].name, "a");
    check_slice(entry->message.metadata[1].value, "");
    entry_free(entry);
}

static size_t
metadata_count_of(const struct resp_value *value)
{
    struct entry *entry = entry_new(value);
    REQUIRE(entry != NULL);
    check_slice(entry->message.data, "d");
    size_t count = entry->message.metadata_count;
    entry_free(entry);
    return count;
}

#define METADATA_COUNT(text)                                                                       \
    metadata_count_of(&ARRAY(TEXT("1-0"), ARRAY(TEXT("data"), TEXT("d"), TEXT("metadata"), text)))

TEST(metadata_that_cannot_be_read_are_none)
{
    static char large[ENTRY_METADATA_BYTES_MAX + 16];
    memset(large, ' ', sizeof large);
    memcpy(large, "{\"a\":\"b\"}", 9);
    const struct resp_value too_large = { .type = RESP_STRING, .text = { large, sizeof large } };
    CHECK_EQ_INT(METADATA_COUNT(TEXT("")), 0);
    CHECK_EQ_INT(METADATA_COUNT(TEXT("{}")), 0);
    CHECK_EQ_INT(METADATA_COUNT(TEXT("{\"a\":")), 0);
    CHECK_EQ_INT(METADATA_COUNT(TEXT("[\"a\"]")), 0);
    CHECK_EQ_INT(METADATA_COUNT(TEXT("null")), 0);
    CHECK_EQ_INT(METADATA_COUNT(TEXT("{\"a\":{\"b\":\"c\"}}")), 0);
    CHECK_EQ_INT(METADATA_COUNT(too_large), 0);
    CHECK_EQ_INT(METADATA_COUNT(((struct resp_value){ .type = RESP_NIL })), 0);
}

TEST(too_many_names_are_none)
{
    struct resp_buf buf = { 0 };
    char one[32];
    for (int i = 0; i <= ENTRY_PAIRS_MAX; i++) {
        snprintf(one, sizeof one, "%c\"n%d\":\"\"", i == 0 ? '{' : ',', i);
        resp_buf_append(&buf, one, strlen(one));
    }
    resp_buf_append(&buf, "}", 1);
    const struct resp_value text = { .type = RESP_STRING, .text = { buf.data, buf.len } };
    CHECK_EQ_INT(METADATA_COUNT(text), 0);
    resp_buf_fini(&buf);
}

TEST(what_is_no_entry_is_none)
{
    const struct resp_value nil = { .type = RESP_NIL }, number = { .type = RESP_INTEGER };
    const struct resp_value long_id = TEXT("12345678901234567890-12345678901234567890123456789");
    CHECK(entry_new(&nil) == NULL);
    CHECK(entry_new(&number) == NULL);
    CHECK(entry_new(&ARRAY(TEXT("1-0"))) == NULL);
    CHECK(entry_new(&ARRAY(TEXT("1-0"), nil)) == NULL);
    CHECK(entry_new(&ARRAY(number, ARRAY(TEXT("data"), TEXT("d")))) == NULL);
    CHECK(entry_new(&ARRAY(long_id, ARRAY(TEXT("data"), TEXT("d")))) == NULL);
    struct entry *odd = entry_new(&ARRAY(TEXT("1-0"), ARRAY(number, TEXT("d"), TEXT("data"))));
    REQUIRE(odd != NULL);
    CHECK_EQ_INT(odd->message.data.len, 0);
    entry_free(odd);
    entry_free(NULL);
}

static void
check_after(const char *id, const char *wanted)
{
    char after[ENTRY_ID_BYTES];
    REQUIRE(entry_id_after((struct remora_slice){ id, strlen(id) }, after));
    CHECK_EQ_STR(after, wanted);
}

TEST(identifiers_have_successors)
{
    static const char *const broken[] = {
        "",     "-",    "5",
        "5-",   "-7",   "5-7-",
        "5-x",  " 5-7", "18446744073709551616-0",
        "5-7 ", "+5-7", "18446744073709551615-18446744073709551615"
    };
    char after[ENTRY_ID_BYTES];
    check_after("5-7", "5-8");
    check_after("0-0", "0-1");
    check_after("5-18446744073709551615", "6-0");
    check_after("18446744073709551615-0", "18446744073709551615-1");
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        CHECK(!entry_id_after((struct remora_slice){ broken[i], strlen(broken[i]) }, after));
}
