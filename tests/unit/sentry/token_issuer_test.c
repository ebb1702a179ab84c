/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer of JWTs: what it makes is believed by who has its set, and parts that do not fit are
 * refused. */
#include "sentry/token_issuer.h"

#include "fixture.h"
#include "sentry/jwks.h"
#include "sentry/jwt.h"

struct parts {
    struct slice key, set;
};

static struct parts
generated_parts(const char *algorithm)
{
    struct key_text key;
    struct parts parts;
    REQUIRE_OK(token_issuer_generate(&scratch, slice_str(algorithm), SLICE_EMPTY, &key, &parts.set,
                                     &diag));
    parts.key = arena_dup(&scratch, slice_of(key.data, key.len));
    key_text_free(&key);
    return parts;
}

static err_t
make(struct parts parts, const char *algorithm, const char *id, struct token_issuer **ret_issuer)
{
    return token_issuer_new(&(struct token_issuer_config){ .key = parts.key,
                                                           .set = parts.set,
                                                           .algorithm = slice_str(algorithm),
                                                           .key_id = slice_str(id),
                                                           .issuer = SLICE("me\"") },
                            ret_issuer, &diag);
}

TEST(a_token_is_believed_by_who_has_the_set)
{
    start_clean();
    struct parts parts = generated_parts("PS256");
    struct token_issuer *issuer = NULL;
    struct jwks *set = NULL;
    struct slice token, again;
    REQUIRE_OK(make(parts, "PS256", "", &issuer));
    REQUIRE_OK(jwks_parse(parts.set, &set, &diag));
    const struct token_request request = { .subject = SLICE("spiffe://a/ns/b/c"),
                                           .audience = SLICE("x\"y"),
                                           .lifetime_ms = 60000,
                                           .skew_ms = 1000 };
    struct jwt_expectation expected = { .audience = SLICE("x\"y"),
                                        .subject = SLICE("spiffe://a/ns/b/c"),
                                        .now_s = clock_unix_ms() / 1000 };
    CHECK_OK(token_issue(issuer, &scratch, &request, &token, &diag));
    CHECK_OK(token_issue(issuer, &scratch, &request, &again, &diag));
    CHECK(!slice_eq(token, again));
    CHECK_OK(jwt_verify(&scratch, set, token, &expected, &diag));
    expected.now_s += 61;
    CHECK_EQ_INT(jwt_verify(&scratch, set, token, &expected, &diag), ERR_UNAUTHENTICATED);
    jwks_free(set);
    token_issuer_free(issuer);
}

static void
refused(struct parts parts, const char *algorithm, const char *id, const char *words)
{
    struct token_issuer *issuer = NULL;
    CHECK(make(parts, algorithm, id, &issuer) != OK);
    CHECK_SLICE_IS(diag.message, words);
}

TEST(parts_that_do_not_fit_are_refused)
{
    start_clean();
    struct parts a = generated_parts("RS256"), b = generated_parts("RS256");
    const char *const no_match = "JWKS doesn't contain a matching public key for the JWT signing "
                                 "key";
    refused((struct parts){ a.key, b.set }, "RS256", "", no_match);
    refused(a, "RS256", "another-id", no_match);
    refused(a, "ES256", "", "JWT signing key is incompatible with algorithm ES256");
    refused(a, "none", "", "JWT signing key is incompatible with algorithm none");
    refused((struct parts){ SLICE("x"), a.set }, "RS256", "", "failed to load JWT signing key");
    refused((struct parts){ a.key, SLICE("{}") }, "RS256", "", "failed to parse JWKS");
}
