/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in files of profiles and in answers, and when they expire. */
#include "plugins/shared/aws_profile.h"
#include "test.h"

/* "access secret token" of the profile, or the words. */
static const char *
profile(const char *text, const char *name)
{
    static char out[1024];
    char words[AWS_PROFILE_WORDS_BYTES];
    struct aws_keys keys = { .access_key = NULL };
    if (aws_profile_read(text, strlen(text), name, &keys, words) == AWS_PROFILE_FOUND)
        (void)snprintf(out, sizeof out, "%s %s %s", keys.access_key, keys.secret_key,
                       keys.session_token == NULL ? "-" : keys.session_token);
    else
        (void)snprintf(out, sizeof out, "%s", words);
    aws_keys_fini(&keys);
    return out;
}

#define KEYS "aws_access_key_id = A\naws_secret_access_key = S\n"

TEST(BIND_aws_profiles_are_read_as_others_read_them)
{
    CHECK_EQ_STR(profile("[default]\n" KEYS, "default"), "A S -");
    CHECK_EQ_STR(profile("# c\n; c\n\n[x]\n" KEYS "[y]\naws_access_key_id=B\n", "x"), "A S -");
    CHECK_EQ_STR(
        profile("[ x ] # c\r\nAWS_Access_Key_Id=A=\r\naws_secret_access_key=S+/==#1 ; c\r\n"
                "aws_session_token = T",
                "x"),
        "A= S+/==#1 T");
    /* The last one counts, in a section that comes again too. */
    CHECK_EQ_STR(profile("[x]\n" KEYS "[y]\n[x]\naws_access_key_id=B\n", "x"), "B S -");
    /* What is indented belongs to the setting before it, if there is one. */
    CHECK_EQ_STR(profile("[x]\n" KEYS "s3 =\n  aws_access_key_id = B\n  what\n", "x"), "A S -");
    CHECK_EQ_STR(profile("[x]\n  aws_access_key_id = A\naws_secret_access_key = S\n", "x"),
                 "A S -");
    CHECK_EQ_STR(profile("[y]\nnothing\n[x]\n" KEYS, "x"), "A S -");
}

TEST(BIND_aws_profiles_without_keys_are_named)
{
    CHECK_EQ_STR(profile("", "x"), "profile x is not in it");
    CHECK_EQ_STR(profile("[profile x]\n" KEYS, "x"), "profile x is not in it");
    CHECK_EQ_STR(profile("[x\n" KEYS, "x"), "profile x is not in it");
    CHECK_EQ_STR(profile("[x]\nregion = eu\n", "x"), "profile x has no keys");
    CHECK_EQ_STR(profile("[x]\naws_access_key_id =\n", "x"), "profile x has no keys");
    CHECK_EQ_STR(profile("[x]\nrole_arn = a\n", "x"),
                 "profile x has role_arn, and only keys are taken from profiles");
    CHECK_EQ_STR(profile("[x]\n" KEYS "what\n", "x"), "line 4 is no setting");
    CHECK_EQ_STR(profile("[x]\n= a\n" KEYS, "x"), "line 2 is no setting");
    CHECK_EQ_STR(profile("[x]\naws_access_key_id = A B\naws_secret_access_key = S\n", "x"),
                 "profile x: the access key is missing, too long or has odd characters in it");
    CHECK_EQ_STR(profile("[x]\naws_access_key_id = A\n", "x"),
                 "profile x: the secret key is missing, too long or has odd characters in it");
    char words[AWS_PROFILE_WORDS_BYTES];
    struct aws_keys keys;
    CHECK(aws_profile_read("[x]\n\0", 5, "x", &keys, words) == AWS_PROFILE_WRONG);
}

TEST(BIND_aws_points_in_time_are_strict)
{
    static const char *const wrong[] = { "",
                                         "2026-11-26",
                                         "2026-11-26T12:00:00",
                                         "2026-11-26T12:00:00+00:00",
                                         "2026-11-26 12:00:00Z",
                                         "2026-11-26T12:00:00.Z",
                                         "2026-11-26T12:00:00.1234567890Z",
                                         "2026-11-26T12:00:00ZZ",
                                         "2026-02-30T12:00:00Z",
                                         "2026-13-01T12:00:00Z",
                                         "2026-11-26T24:00:00Z",
                                         "2026-11-26T12:60:00Z",
                                         "1969-12-31T23:59:59Z",
                                         "+026-11-26T12:00:00Z" };
    int64_t at = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(!aws_time_read(wrong[i], &at));
    CHECK(aws_time_read("2026-11-26T12:00:00Z", &at));
    CHECK_EQ_INT(at, 1795694400);
    CHECK(aws_time_read("2000-02-29T00:00:00.123456789Z", &at));
    CHECK_EQ_INT(at, 951782400);
}

TEST(BIND_aws_keys_become_headers)
{
    CHECK(aws_is_visible("abc~!", 5));
    CHECK(!aws_is_visible("abcdef", 5));
    CHECK(!aws_is_visible("", 5));
    CHECK(!aws_is_visible("a b", 5));
    CHECK(!aws_is_visible("a\r\n", 5));
    CHECK(!aws_is_visible("\xc3\xa9", 5));
}
