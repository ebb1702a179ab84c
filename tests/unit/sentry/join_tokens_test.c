/* SPDX-License-Identifier: Apache-2.0 */
/* Join tokens: one a line, and no others. */
#include "sentry/join_tokens.h"

#include "base/limits.h"
#include "fixture.h"

static struct join_tokens *
tokens_of(const char *text)
{
    struct join_tokens *tokens = NULL;
    REQUIRE_OK(join_tokens_parse(slice_str(text), &tokens, &diag));
    return tokens;
}

TEST(each_line_is_a_token_and_nothing_else_is)
{
    start_clean();
    struct join_tokens *tokens = tokens_of("# comment of some length\n\n first-token-of-two \r\n"
                                           "second-token-of-two");
    CHECK(join_tokens_match(tokens, SLICE("first-token-of-two")));
    CHECK(join_tokens_match(tokens, SLICE("second-token-of-two\n")));
    CHECK(!join_tokens_match(tokens, SLICE("first-token-of-tw")));
    CHECK(!join_tokens_match(tokens, SLICE("first-token-of-two2")));
    CHECK(!join_tokens_match(tokens, SLICE("First-token-of-two")));
    CHECK(!join_tokens_match(tokens, SLICE("first-token-of-two\nsecond-token-of-two")));
    CHECK(!join_tokens_match(tokens, SLICE("# comment of some length")));
    CHECK(!join_tokens_match(tokens, SLICE("")));
    CHECK(!join_tokens_match(tokens, SLICE("                ")));
    join_tokens_free(tokens);
}

static void
refused(struct slice text, const char *words)
{
    struct join_tokens *tokens;
    CHECK_EQ_INT(join_tokens_parse(text, &tokens, &diag), ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, words);
}

TEST(what_is_no_secret_is_refused)
{
    start_clean();
    refused(SLICE(""), "there is no join token in it");
    refused(SLICE("\n# only words\n"), "there is no join token in it");
    refused(SLICE("0123456789abcdef\nshort\n"), "line 2: a join token has at least 16 characters");
    struct arena_bytes many = { 0 };
    for (int i = 0; i <= LIMIT_sentry_join_tokens_max; i++)
        arena_append(&scratch, &many, SLICE("0123456789abcdef\n"));
    refused(arena_bytes_slice(&many), "line 1025: too many join tokens");
}
