/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are flat protobuf messages. Error texts are those of the reference, from
 * recordings/bindings.json, and of Go's protojson. */
#include "surface/body_proto.h"

#include <stdlib.h>

#include "tests/lib/test.h"

struct message {
    struct slice text, more;
    int32_t number;
};

static const struct body_proto_field fields[] = {
    { "resourceId", "resource_id", BODY_PROTO_STRING, offsetof(struct message, text) },
    { "lockOwner", "lock_owner", BODY_PROTO_STRING, offsetof(struct message, more) },
    { "expiryInSeconds", "expiry_in_seconds", BODY_PROTO_INT32, offsetof(struct message, number) },
};

static err_t
read_body(struct arena *arena, const char *body, struct message *message, struct slice *ret_words)
{
    struct kernel *kernel = calloc(1, sizeof *kernel);
    REQUIRE(kernel != NULL);
    struct request rq = { .arena = arena, .kernel = kernel };
    *message = (struct message){ .text = SLICE(""), .more = SLICE("") };
    err_t err = body_proto_read(&rq, slice_str(body), fields, ARRAY_LEN(fields), message);
    *ret_words = rq.error.message;
    free(kernel);
    return err;
}

static void
check_words(const char *body, const char *words)
{
    struct arena arena;
    struct message message;
    struct slice said;
    arena_init(&arena);
    CHECK_EQ_INT(read_body(&arena, body, &message, &said), ERR_MALFORMED_REQUEST);
    CHECK(slice_has_prefix(said, SLICE("failed deserializing HTTP body: proto: ")));
    CHECK_SLICE_IS(slice_from(said, sizeof "failed deserializing HTTP body: proto: " - 1), words);
    arena_fini(&arena);
}

static void
check_number(const char *written, int32_t number)
{
    char body[128];
    struct arena arena;
    struct message message;
    struct slice said;
    arena_init(&arena);
    snprintf(body, sizeof body, "{\"expiryInSeconds\":%s}", written);
    CHECK_OK(read_body(&arena, body, &message, &said));
    CHECK_EQ_INT(message.number, number);
    arena_fini(&arena);
}

TEST(names_in_both_spellings_are_read_and_others_are_not_LOCK_01)
{
    struct arena arena;
    struct message message;
    struct slice said;
    arena_init(&arena);
    CHECK_OK(read_body(&arena,
                       " { \"resourceId\" : \"r\\u00fc\" , \"lock_owner\":\"o\",\"RESOURCEID\":1,"
                       "\"zz\":[{}],\"expiry_in_seconds\":30 } ",
                       &message, &said));
    CHECK_SLICE_IS(message.text, "r\xc3\xbc");
    CHECK_SLICE_IS(message.more, "o");
    CHECK_EQ_INT(message.number, 30);
    CHECK_OK(read_body(&arena, "{\"resourceId\":null,\"expiryInSeconds\":null}", &message, &said));
    CHECK_SLICE_IS(message.text, "");
    CHECK_EQ_INT(message.number, 0);
    arena_fini(&arena);
}

TEST(whole_numbers_are_read_however_they_are_written)
{
    check_number("0", 0);
    check_number("-0", 0);
    check_number("-7", -7);
    check_number("2147483647", INT32_MAX);
    check_number("-2147483648", INT32_MIN);
    check_number("\"12\"", 12);
    check_number("1.0", 1);
    check_number("3e2", 300);
    check_number("0.5E+1", 5);
    check_number("1200e-2", 12);
}

TEST(what_is_no_whole_number_is_refused)
{
    static const char *const wrong[] = { "2147483648",
                                         "-2147483649",
                                         "1.5",
                                         "1e10",
                                         "1e-1",
                                         "1e999",
                                         "\"\"",
                                         "\"x\"",
                                         "\"1 \"",
                                         "\"1e\"",
                                         "true",
                                         "[]",
                                         "99999999999999999999999" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char body[128], words[160];
        snprintf(body, sizeof body, "{\"expiryInSeconds\":%s}", wrong[i]);
        snprintf(words, sizeof words,
                 "(line 1:20): invalid value for int32 field expiryInSeconds: %s", wrong[i]);
        check_words(body, words);
    }
}

TEST(what_is_refused_is_refused_in_the_words_of_the_reference)
{
    check_words("{", "unexpected EOF");
    check_words("", "unexpected EOF");
    check_words("{\"resourceId\":1}", "(line 1:15): invalid value for string field resourceId: 1");
    check_words("{\n\"resourceId\":\n[]}",
                "(line 3:1): invalid value for string field resourceId: []");
    check_words("null", "(line 1:1): unexpected token null");
    check_words("{} x", "syntax error (line 1:4): invalid value x");
    check_words("{\"resourceId\":\"a\",\"resource_id\":\"b\"}",
                "(line 1:33): duplicate field resource_id");
}
