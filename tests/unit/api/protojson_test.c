/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf JSON of the API's messages: what is read, what is refused and how, what is written. */
#include "api/protojson.h"

#include "base/limits.h"
#include "base/macros.h"
#include "dapr/proto/runtime/v1/ai.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "test.h"

#define ALPHA2 dapr__proto__runtime__v1__conversation_request_alpha2__descriptor
#define ANSWER dapr__proto__runtime__v1__conversation_response_alpha2__descriptor

static struct arena arena;

static struct slice
written(const void *message)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    bool is_good = message != NULL && protojson_write(&out, &arena, message);
    struct slice text = is_good ? arena_dup(&arena, buf_slice(&out)) : SLICE("(not written)");
    buf_fini(&out);
    return text;
}

/* Read and written again: `wanted` NULL is the same text. */
static void
check_same(const ProtobufCMessageDescriptor *type, const char *text, const char *wanted)
{
    struct slice words = SLICE_EMPTY;
    arena_init(&arena);
    const void *message = protojson_read(&arena, type, slice_str(text), &words);
    if (!CHECK(message != NULL))
        fprintf(stderr, "  %s: %.*s\n", text, (int)words.len, words.data);
    else
        CHECK_SLICE_IS(written(message), wanted == NULL ? text : wanted);
    arena_fini(&arena);
}

static void
check_refused(const ProtobufCMessageDescriptor *type, struct slice text, const char *wanted)
{
    struct slice words = SLICE_EMPTY;
    arena_init(&arena);
    CHECK(protojson_read(&arena, type, text, &words) == NULL);
    if (!CHECK(slice_find(words, slice_str(wanted)) >= 0))
        fprintf(stderr, "  %s, not %s\n", arena_str(&arena, words), wanted);
    arena_fini(&arena);
}

TEST(both_spellings_of_names_are_read_and_camel_case_is_written)
{
    check_same(&ALPHA2, "{\"context_id\":\"c\",\"scrubPii\":true,\"tool_choice\":\"auto\"}",
               "{\"contextId\":\"c\",\"scrubPii\":true,\"toolChoice\":\"auto\"}");
    check_same(&ALPHA2, "{\"maxTokens\":7,\"temperature\":\"1.5\"}",
               "{\"temperature\":1.5,\"maxTokens\":\"7\"}");
}

TEST(what_is_set_is_written_though_it_is_nothing_where_the_message_can_tell)
{
    check_same(&ALPHA2,
               "{\"contextId\":\"\",\"scrubPii\":false,\"temperature\":0,\"maxTokens\":\"0\"}",
               NULL);
    check_same(&ALPHA2, "{\"name\":\"\",\"inputs\":[],\"metadata\":{},\"contextId\":null}", "{}");
    check_same(&ANSWER, "{\"outputs\":[{\"usage\":{}},{}]}", NULL);
}

TEST(unknown_members_are_skipped_whatever_they_hold)
{
    check_same(&ALPHA2, "{\"zz\":[{\"a\":[1,2]}],\"name\":\"n\",\"Name\":1}", "{\"name\":\"n\"}");
}

TEST(numbers_are_read_however_they_are_written_and_never_rounded)
{
    static const char *const same[][2] = {
        { "5", "5" },     { "\"5\"", "5" },
        { "1e2", "100" }, { "5.0", "5" },
        { "-0", "0" },    { "9223372036854775807", "9223372036854775807" },
        { "10e-1", "1" }, { "-9223372036854775808", "-9223372036854775808" },
        { "0.5e1", "5" },
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        char text[64], wanted[64];
        (void)snprintf(text, sizeof text, "{\"maxTokens\":%s}", same[i][0]);
        (void)snprintf(wanted, sizeof wanted, "{\"maxTokens\":\"%s\"}", same[i][1]);
        check_same(&ALPHA2, text, wanted);
    }
    static const char *const wrong[] = { "1.5", "9223372036854775808",  "\"\"", "\"x\"",  "true",
                                         "[]",  "-9223372036854775809", "1e30", "\"1 \"", "0x5" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "{\"maxTokens\":%s}", wrong[i]);
        check_refused(&ALPHA2, slice_of(text, (size_t)len), i == 9 ? "syntax error" : "int64");
    }
    check_same(&ANSWER, "{\"outputs\":[{\"usage\":{\"totalTokens\":\"18446744073709551615\"}}]}",
               NULL);
}

TEST(a_struct_is_what_it_stands_for_in_the_order_of_its_keys)
{
    check_same(
        &ALPHA2, "{\"responseFormat\":{\"b\":[1.5,null,{},[],\"x\\u2028\"],\"a\":{\"c\":true}}}",
        "{\"responseFormat\":{\"a\":{\"c\":true},\"b\":[1.5,null,{},[],\"x\xE2\x80\xA8\"]}}");
    check_same(&google__protobuf__value__descriptor, "null", NULL);
    check_same(&google__protobuf__value__descriptor, "1e21", "1e+21");
    check_refused(&ALPHA2, SLICE("{\"responseFormat\":{\"a\":1e999}}"), "invalid value for double");
    check_refused(&ALPHA2, SLICE("{\"responseFormat\":{\"a\":1,\"a\":2}}"), "duplicate map key a");
    check_refused(&ALPHA2, SLICE("{\"responseFormat\":[]}"), "unexpected token []");
}

TEST(durations_are_seconds_with_up_to_nine_digits)
{
    static const char *const good[][2] = {
        { "3s", "3s" },
        { "3.5s", "3.500s" },
        { "0.000001s", "0.000001s" },
        { "-1.25s", "-1.250s" },
        { "1.000000001s", "1.000000001s" },
        { "0s", "0s" },
    };
    static const char *const bad[] = { "3", "s", "3.s", "1.0000000001s", "1m", "--1s", "1e3s", "" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char text[80], wanted[80];
        (void)snprintf(text, sizeof text, "{\"promptCacheRetention\":\"%s\"}", good[i][0]);
        (void)snprintf(wanted, sizeof wanted, "{\"promptCacheRetention\":\"%s\"}", good[i][1]);
        check_same(&ALPHA2, text, wanted);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[80];
        int len = snprintf(text, sizeof text, "{\"promptCacheRetention\":\"%s\"}", bad[i]);
        check_refused(&ALPHA2, slice_of(text, (size_t)len), "google.protobuf.Duration");
    }
}

TEST(any_holds_what_is_known_wherever_its_type_stands)
{
    static const char *const values[] = {
        "\"google.protobuf.StringValue\",\"value\":\"v\"",
        "\"google.protobuf.Int64Value\",\"value\":\"-5\"",
        "\"google.protobuf.BoolValue\",\"value\":true",
        "\"google.protobuf.DoubleValue\",\"value\":0.1",
        "\"google.protobuf.BytesValue\",\"value\":\"/w==\"",
        "\"google.protobuf.Struct\",\"value\":{\"a\":[null]}",
        "\"google.protobuf.Value\",\"value\":[1]",
        "\"google.protobuf.Duration\",\"value\":\"1s\"",
        "\"google.protobuf.Empty\",\"value\":{}",
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char text[160];
        (void)snprintf(text, sizeof text, "{\"parameters\":{\"k\":{\"@type\":%s}}}", values[i]);
        check_same(&ALPHA2, text, NULL);
    }
    check_same(
        &ALPHA2,
        "{\"parameters\":{\"k\":{\"value\":\"v\",\"@type\":\"x/google.protobuf.StringValue\"}}}",
        "{\"parameters\":{\"k\":{\"@type\":\"x/google.protobuf.StringValue\",\"value\":\"v\"}}}");
    check_same(&ALPHA2, "{\"parameters\":{\"k\":{}}}", NULL);
    check_refused(&ALPHA2, SLICE("{\"parameters\":{\"k\":{\"@type\":\"a/b.C\"}}}"),
                  "unable to resolve a/b.C");
    check_refused(&ALPHA2, SLICE("{\"parameters\":{\"k\":{\"value\":1}}}"), "missing \"@type\"");
    check_refused(&ALPHA2,
                  SLICE("{\"parameters\":{\"k\":{\"@type\":\"google.protobuf.BoolValue\"}}}"),
                  "missing \"value\"");
    check_refused(&ALPHA2,
                  SLICE("{\"parameters\":{\"k\":{\"@type\":\"google.protobuf.BoolValue\","
                        "\"value\":\"x\"}}}"),
                  "invalid value for bool");
}

TEST(what_an_any_holds_can_be_written_alone)
{
    struct slice words;
    arena_init(&arena);
    const Google__Protobuf__Any *any = protojson_read(
        &arena, &google__protobuf__any__descriptor,
        SLICE("{\"@type\":\"x/google.protobuf.Int64Value\",\"value\":5}"), &words);
    struct buf out;
    buf_init(&out, 64);
    REQUIRE(any != NULL);
    CHECK(protojson_write_content(&out, &arena, any));
    CHECK_SLICE_IS(buf_slice(&out), "\"5\"");
    const Google__Protobuf__Any other = { .base = any->base,
                                          .type_url = any->type_url,
                                          .value = pb_bytes(SLICE("\xff")) };
    CHECK(!protojson_write_content(&out, &arena, &other));
    buf_fini(&out);
    arena_fini(&arena);
}

TEST(what_comes_twice_is_refused)
{
    check_refused(&ALPHA2, SLICE("{\"name\":\"a\",\"name\":\"b\"}"), "duplicate field name");
    check_refused(&ALPHA2, SLICE("{\"contextId\":\"a\",\"context_id\":\"b\"}"), "duplicate field");
    check_refused(&ALPHA2, SLICE("{\"inputs\":[{\"messages\":[{\"ofUser\":{},\"ofTool\":{}}]}]}"),
                  "already set");
    check_refused(&ALPHA2, SLICE("{\"metadata\":{\"a\":\"b\",\"c\":\"d\",\"a\":\"b\"}}"),
                  "duplicate map key a");
}

TEST(what_is_no_json_or_of_another_type_is_refused_in_the_words_of_the_reference)
{
    check_refused(&ALPHA2, SLICE(""), "unexpected EOF");
    check_refused(&ALPHA2, SLICE("{"), "unexpected EOF");
    check_refused(&ALPHA2, SLICE("{}x"), "syntax error (line 1:3): invalid value x");
    check_refused(&ALPHA2, SLICE("[]"), "(line 1:1): unexpected token []");
    check_refused(&ALPHA2, SLICE("{\n \"name\": 5}"),
                  "(line 2:10): invalid value for string field "
                  "name: 5");
    check_refused(&ALPHA2, SLICE("{\"name\":\"a\\u0000b\"}"), "U+0000");
    check_refused(&ALPHA2, SLICE("{\"metadata\":{\"a\\u0000b\":\"\"}}"), "U+0000");
    check_refused(&ALPHA2, SLICE("{\"inputs\":[5]}"), "unexpected token 5");
    check_refused(&ALPHA2, SLICE("{\"name\":5,}"), "syntax error");
}

TEST(what_is_deep_or_would_take_too_much_memory_is_refused)
{
    enum { MANY = 200000 };
    char *text = malloc(3 * MANY + 64);
    REQUIRE(text != NULL);
    size_t len = (size_t)snprintf(text, 32, "{\"inputs\":[");
    for (int i = 0; i < MANY; i++) {
        memcpy(text + len, "{},", 3);
        len += 3;
    }
    memcpy(text + len, "{}]}", 4);
    check_refused(&ALPHA2, slice_of(text, len + 4), "too much memory");
    len = 0;
    for (int i = 0; i < 100; i++)
        text[len++] = '[';
    for (int i = 0; i < 100; i++)
        text[len++] = ']';
    check_refused(&google__protobuf__value__descriptor, slice_of(text, len), "recursion depth");
    check_same(&google__protobuf__value__descriptor, "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
               NULL);
    free(text);
}
