/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens against keys made by another implementation (cryptography of Python): an ES256 key named
 * "k", tokens of the issuer "i" for the audience "a", one from 1,000,000 to 1,000,600 s of 1970.
 */
#include "plugins/bearer/token.h"
#include "test.h"

static const char keys[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"FQuANHKTYI-Sixww5KK8g5tDHfn1AT9YJTJgAsNh"
    "_R4\",\"y\":\"-WKcy8j650HYO7Mf1Je8SIyi7oDiqOYjkViyL4-Fmvw\",\"kid\":\"k\",\"use\":\"sig\",\"al"
    "g\":\"ES256\"}]}";

static const char keys_for_encryption[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"FQuANHKTYI-Sixww5KK8g5tDHfn1AT9YJTJgAsNh"
    "_R4\",\"y\":\"-WKcy8j650HYO7Mf1Je8SIyi7oDiqOYjkViyL4-Fmvw\",\"kid\":\"k\",\"use\":\"enc\"}]}";

static const char good[] =
    "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImsiLCAidHlwIjogIkpXVCJ9.eyJpc3MiOiAiaSIsICJhdWQ"
    "iOiAiYSIsICJpYXQiOiAxMDAwMDAwLCAiZXhwIjogMTAwMDYwMH0.2knGwuNBQK7JbebE5HP0fodDXZ3"
    "gXh9LNk6afYVqhGHW0vbumUY2Sod7J1PPJ5iIaLfT0EP1cCw78oTh1LxISQ";

static const char without_end[] =
    "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImsiLCAidHlwIjogIkpXVCJ9.eyJpc3MiOiAiaSIsICJhdWQ"
    "iOiBbIngiLCAiYSJdfQ.2NWZU3Akg80_eNPyhVz3eTkxneojb6j7VfAlRrQoub1xamcdJGH-QLgHHOj5"
    "swIB2Q6lGk3vVzbrklDqRTc4EQ";

static enum token_verdict
judge(const char *set, const char *token, const char *issuer, const char *audience, int64_t now_s)
{
    json_t *parsed = token_keys_parse(set, strlen(set));
    REQUIRE(parsed != NULL);
    const struct token_expectation expected = {
        .issuer = issuer, .audience = audience, .now_s = now_s, .skew_s = 300
    };
    /* Behind its end there is nothing that may be read. */
    size_t len = strlen(token);
    char *exact = malloc(len == 0 ? 1 : len);
    REQUIRE(exact != NULL);
    memcpy(exact, token, len);
    enum token_verdict verdict = token_judge(parsed, (struct remora_slice){ exact, len },
                                             &expected);
    free(exact);
    json_decref(parsed);
    return verdict;
}

TEST(times_are_judged_with_tolerance)
{
    CHECK_EQ_INT(judge(keys, good, "i", "a", 1000100), TOKEN_GOOD);
    CHECK_EQ_INT(judge(keys, good, "i", "a", 999700), TOKEN_GOOD);
    CHECK_EQ_INT(judge(keys, good, "i", "a", 999699), TOKEN_BAD);
    CHECK_EQ_INT(judge(keys, good, "i", "a", 1000899), TOKEN_GOOD);
    CHECK_EQ_INT(judge(keys, good, "i", "a", 1000900), TOKEN_BAD);
    CHECK_EQ_INT(judge(keys, without_end, "i", "a", 5), TOKEN_GOOD);
}

TEST(issuer_audience_and_key_must_be_the_expected_ones)
{
    CHECK_EQ_INT(judge(keys, good, "other", "a", 1000100), TOKEN_BAD);
    CHECK_EQ_INT(judge(keys, good, "i", "other", 1000100), TOKEN_BAD);
    CHECK_EQ_INT(judge(keys, without_end, "i", "x", 5), TOKEN_GOOD);
    CHECK_EQ_INT(judge("{\"keys\":[]}", good, "i", "a", 1000100), TOKEN_KEY_UNKNOWN);
    CHECK_EQ_INT(judge(keys_for_encryption, good, "i", "a", 1000100), TOKEN_KEY_UNKNOWN);
}

TEST(a_changed_token_is_bad)
{
    char changed[sizeof good];
    for (size_t i = 0; i < sizeof good - 1; i++) {
        memcpy(changed, good, sizeof good);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        enum token_verdict verdict = judge(keys, changed, "i", "a", 1000100);
        /* The last letter of base64 has bits that mean nothing. */
        CHECK(verdict != TOKEN_GOOD || i == sizeof good - 2);
    }
    CHECK_EQ_INT(judge(keys, "", "i", "a", 1000100), TOKEN_BAD);
    CHECK_EQ_INT(judge(keys, "..", "i", "a", 1000100), TOKEN_BAD);
    CHECK_EQ_INT(judge(keys, "a.b.c.d", "i", "a", 1000100), TOKEN_BAD);
}

TEST(what_is_no_set_of_keys_is_refused)
{
    static const char *const sets[] = { "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[1]}", "{" };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        CHECK(token_keys_parse(sets[i], strlen(sets[i])) == NULL);
}
