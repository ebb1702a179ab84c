/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of DynamoDB: items, conditions, keys; and what is no key. */
#include <stdlib.h>
#include <string.h>

#include "plugins/aws/dynamo_item.h"
#include "plugins/aws/json.h"
#include "test.h"

static const struct item_names plain = { "t", "key", NULL };
static const struct item_names expiring = { "t", "id", "until" };

static struct remora_slice
text_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* The question, with the new ETag as "?"; valid until the next one. */
static const char *
asked(const struct item_names *names, const struct item_write *write)
{
    static char said[1024];
    struct text out = { .bytes = NULL };
    item_put_write(&out, names, write, 100);
    text_put(&out, "", 1); /* the end of a string */
    const char *etag = strstr(out.bytes, "\"etag\":{\"S\":\"");
    const char *end = etag == NULL ? NULL : strchr(etag + 13, '"');
    const int head = etag == NULL ? (int)out.len : (int)(etag + 13 - out.bytes);
    snprintf(said, sizeof said, "%.*s%s%s", head, out.bytes, etag == NULL ? "" : "?",
             end == NULL ? "" : end);
    free(out.bytes);
    return said;
}

TEST(STATE_dynamo_json_is_a_text_and_anything_else_bytes)
{
    struct item_write write = { .key = text_of("k"),
                                .value = text_of("\"\xc3\xbc\""),
                                .is_json = true };
    CHECK_EQ_STR(asked(&plain, &write),
                 "{\"TableName\":\"t\",\"Item\":{\"key\":{\"S\":\"k\"},\"value\":{\"S\":"
                 "\"\\u0022\xc3\xbc\\u0022\"},\"etag\":{\"S\":\"?\"}}}");
    write.is_json = false;
    CHECK(strstr(asked(&plain, &write), "\"value\":{\"B\":\"IsO8Ig==\"}") != NULL);
    write.is_json = true;
    write.value = text_of("\"\xff\"");
    CHECK(strstr(asked(&plain, &write), "\"value\":{\"B\":\"Iv8i\"}") != NULL);
}

TEST(STATE_dynamo_what_has_expired_is_there_for_no_condition)
{
    struct item_write write = {
        .is_delete = true, .key = text_of("k"), .condition = ITEM_HAS_ETAG, .etag = text_of("1f")
    };
    CHECK_EQ_STR(asked(&plain, &write),
                 "{\"TableName\":\"t\",\"Key\":{\"key\":{\"S\":\"k\"}},\"ConditionExpression\":"
                 "\"etag = :etag\",\"ExpressionAttributeValues\":{\":etag\":{\"S\":\"1f\"}}}");
    CHECK(strstr(asked(&expiring, &write),
                 "\"etag = :etag AND (attribute_not_exists(#ttl) OR #ttl > :now)\","
                 "\"ExpressionAttributeNames\":{\"#ttl\":\"until\"},\"ExpressionAttributeValues\":"
                 "{\":etag\":{\"S\":\"1f\"},\":now\":{\"N\":\"100\"}}}") != NULL);
    write = (struct item_write){ .key = text_of("k"), .condition = ITEM_ABSENT, .expires_s = 160 };
    CHECK(strstr(asked(&expiring, &write), "\"until\":{\"N\":\"160\"}}") != NULL);
    CHECK(
        strstr(asked(&expiring, &write),
               "\"attribute_not_exists(etag) OR #ttl <= :now\",\"ExpressionAttributeNames\":"
               "{\"#ttl\":\"until\"},\"ExpressionAttributeValues\":{\":now\":{\"N\":\"100\"}}}") !=
        NULL);
    write.expires_s = 0;
    CHECK(strstr(asked(&plain, &write),
                 "\"ConditionExpression\":\"attribute_not_exists(etag)\"}") != NULL);
}

TEST(STATE_dynamo_a_text_is_utf8_or_none)
{
    static const char *const good[] = {
        "", "a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"
    };
    static const char *const bad[] = {
        "\x80",         "\xc3",     "\xc0\x80",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80", "\xff"
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(item_is_utf8(text_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!item_is_utf8(text_of(bad[i])));
}

TEST(STATE_dynamo_keys_and_items_have_bounds_to_the_byte)
{
    static char long_text[ITEM_BYTES_MAX + 1];
    char why[ITEM_WHY_BYTES];
    memset(long_text, 'x', sizeof long_text);
    CHECK(item_check_key((struct remora_slice){ long_text, ITEM_KEY_BYTES_MAX }, why));
    CHECK(!item_check_key((struct remora_slice){ long_text, ITEM_KEY_BYTES_MAX + 1 }, why));
    CHECK(!item_check_key((struct remora_slice){ "a\0b", 3 }, why));
    CHECK(!item_check_key((struct remora_slice){ "", 0 }, why));
    /* "key", "k", "value", "etag" and 16 bytes of one */
    struct item_write write = { .key = text_of("k"), .value = { long_text, ITEM_BYTES_MAX - 29 } };
    CHECK(item_check(&plain, &write, why));
    write.value.len++;
    CHECK(!item_check(&plain, &write, why));
    CHECK(strstr(why, "Item size has exceeded the maximum allowed size") != NULL);
}

TEST(STATE_dynamo_a_nul_is_seen_behind_any_number_of_backslashes)
{
    CHECK(json_has_nul("\"\\u0000\"", 8));
    CHECK(json_has_nul("\"\\\\\\u0000\"", 10));
    CHECK(!json_has_nul("\"\\\\u0000\"", 9));
    CHECK(!json_has_nul("\"\\u000\"", 7));
}
