/* SPDX-License-Identifier: Apache-2.0 */
/* A queue's policy: topics are added, and what others have written stays. */
#include "plugins/aws/policy.h"
#include "test.h"

/* What it is to be, "" if it may stay, "none" if it is none. */
static const char *
allowed(const char *policy, const char *topic)
{
    static char out[2048];
    char *now = NULL;
    const bool ok = policy_allow(policy, "arn:q", topic, &now);
    (void)snprintf(out, sizeof out, "%s", !ok ? "none" : now == NULL ? "" : now);
    free(now);
    return out;
}

#define HEAD "{\"Version\":\"2012-10-17\",\"Statement\":["
#define STATEMENT(sources)                                                                         \
    "{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"sns.amazonaws.com\"},"                     \
    "\"Action\":\"sqs:SendMessage\",\"Resource\":\"arn:q\","                                       \
    "\"Condition\":{\"ForAllValues:ArnEquals\":{\"aws:SourceArn\":" sources "}}}"

TEST(PUB_snssqs_topics_are_added_to_the_policy_of_the_reference)
{
    CHECK_EQ_STR(allowed("", "arn:a"), HEAD STATEMENT("[\"arn:a\"]") "]}");
    CHECK_EQ_STR(allowed(HEAD STATEMENT("[\"arn:a\"]") "]}", "arn:b"),
                 HEAD STATEMENT("[\"arn:a\",\"arn:b\"]") "]}");
    CHECK_EQ_STR(allowed(HEAD STATEMENT("[\"arn:a\",\"arn:b\"]") "]}", "arn:b"), "");
}

TEST(PUB_snssqs_lists_of_one_that_became_texts_are_understood)
{
    CHECK_EQ_STR(allowed(HEAD STATEMENT("\"arn:a\"") "]}", "arn:a"), "");
    CHECK_EQ_STR(allowed(HEAD STATEMENT("\"arn:a\"") "]}", "arn:b"),
                 HEAD STATEMENT("[\"arn:a\",\"arn:b\"]") "]}");
    CHECK_EQ_STR(allowed("{\"Statement\":" STATEMENT("\"arn:a\"") "}", "arn:b"),
                 "{\"Statement\":[" STATEMENT("[\"arn:a\",\"arn:b\"]") "]}");
}

TEST(PUB_snssqs_what_others_have_written_stays)
{
#define OTHER                                                                                      \
    "{\"Sid\":\"mine\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":[\"sqs:*\"],"            \
    "\"Resource\":\"arn:q\",\"Condition\":{\"Bool\":{\"aws:SecureTransport\":\"false\"}}}"
    CHECK_EQ_STR(allowed("{\"Id\":\"x\",\"Statement\":[" OTHER "]}", "arn:a"),
                 "{\"Id\":\"x\",\"Statement\":[" OTHER "," STATEMENT("[\"arn:a\"]") "]}");
}

TEST(PUB_snssqs_what_is_no_policy_is_not_touched)
{
    const char *const wrong[] = {
        "{", "[]", "7", "null", "\"\"", "{\"Statement\":7}", "{\"Statement\":{},\"Statement\":{}}"
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_EQ_STR(allowed(wrong[i], "arn:a"), "none");
    CHECK_EQ_STR(
        allowed("{\"Statement\":[7,null,{\"Resource\":\"arn:q\",\"Condition\":[]}]}", "arn:a"),
        "{\"Statement\":[7,null,{\"Resource\":\"arn:q\",\"Condition\":[]}," STATEMENT(
            "[\"arn:a\"]") "]}");
}
