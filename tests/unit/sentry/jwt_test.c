/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: which signatures and claims are believed. */
#include "sentry/jwt.h"

#include <openssl/hmac.h>

#include "base/base64.h"
#include "fixture.h"

enum { NOW_S = 1800000000, SKEW_S = 300 };

static const struct jwt_expectation expectation = {
    .audience = { "spiffe://localhost/ns/default/dapr-sentry", 41 },
    .subject = { "spiffe://public/ns/default/shop", 31 },
    .now_s = NOW_S,
    .skew_s = SKEW_S,
};

#define GOOD                                                                                       \
    "{\"aud\":\"spiffe://localhost/ns/default/dapr-sentry\",\"sub\":\"spiffe://public/ns/default/" \
    "shop\",\"exp\":1800000060}"

static struct jwks *
set_of(EVP_PKEY *key, const char *id, const char *algorithm)
{
    struct jwks *set = NULL;
    struct slice json = jwks_write(&scratch, key, slice_str(id), slice_str(algorithm));
    REQUIRE_OK(jwks_parse(json, &set, &diag));
    return set;
}

static struct slice
token_of(EVP_PKEY *key, const char *id, const char *algorithm, const char *claims)
{
    const struct jwt_signer signer = { key, slice_str(algorithm), slice_str(id) };
    struct slice token = SLICE_EMPTY;
    CHECK_OK(jwt_sign(&scratch, &signer, slice_str(claims), &token, &diag));
    return token;
}

static struct slice
text_in_base64(const char *text)
{
    struct slice from = slice_str(text);
    char *to = arena_alloc(&scratch, base64url_encoded_len(from.len) + 1);
    base64url_encode(from, to);
    return slice_of(to, base64url_encoded_len(from.len));
}

/* Verdict in words; "" is good. */
static struct slice
verdict(const struct jwks *set, struct slice token)
{
    err_t err = jwt_verify(&scratch, set, token, &expectation, &diag);
    CHECK(err == OK || err == ERR_UNAUTHENTICATED);
    return err == OK ? SLICE_EMPTY : slice_from(diag.message, strlen("token validation failed: "));
}

TEST(a_token_is_believed_whatever_the_algorithm)
{
    start_clean();
    static const struct {
        const char *algorithm, *kind;
    } rows[] = { { "RS256", "RSA" },   { "RS384", "RSA" },   { "RS512", "RSA" },
                 { "PS256", "RSA" },   { "PS384", "RSA" },   { "PS512", "RSA" },
                 { "ES256", "P-256" }, { "ES384", "P-384" }, { "ES512", "P-521" },
                 { "EdDSA", "" } };
    EVP_PKEY *rsa = key_generate_rsa(); /* takes its time */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool is_rsa = strcmp(rows[i].kind, "RSA") == 0;
        EVP_PKEY *key = is_rsa                   ? rsa
                        : rows[i].kind[0] == 'P' ? EVP_EC_gen(rows[i].kind)
                                                 : key_generate();
        struct jwks *set = set_of(key, "one", rows[i].algorithm);
        struct slice token = token_of(key, "one", rows[i].algorithm, GOOD);
        CHECK_SLICE_IS(verdict(set, token), "");
        char *changed = arena_str(&scratch, token);
        changed[token.len - 10] = (char)(changed[token.len - 10] == 'A' ? 'B' : 'A');
        CHECK_SLICE_IS(verdict(set, slice_of(changed, token.len)),
                       "could not verify message using any of the signatures or keys");
        jwks_free(set);
        if (!is_rsa)
            EVP_PKEY_free(key);
    }
    EVP_PKEY_free(rsa);
}

/* RFC 8037, appendix A. */
TEST(the_example_of_the_rfc_verifies)
{
    start_clean();
    struct jwks *set = NULL;
    REQUIRE_OK(jwks_parse(SLICE("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                                "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
                          &set, &diag));
    CHECK_SLICE_IS(
        verdict(set, SLICE("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                           "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt"
                           "9g7sVvpAr_MuM0KAg")),
        "the claims are malformed"); /* the signature holds; the text signed is no claims */
    CHECK_SLICE_IS(jwk_thumbprint(&scratch, set->items[0].key),
                   "kPrK/qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k=");
    jwks_free(set);
}

TEST(claims_decide)
{
    start_clean();
    static const char *const rows[][2] = {
        { GOOD, "" },
        { "{\"aud\":[\"x\",\"spiffe://localhost/ns/default/dapr-sentry\"],\"sub\":\"spiffe://public"
          "/ns/default/shop\",\"iat\":1799999999.5,\"nbf\":1800000200,\"exp\":1799999800}",
          "" }, /* within the skew */
        { "{\"aud\":\"spiffe://localhost/ns/default/dapr-sentry\",\"sub\":\"spiffe://public/ns/"
          "default/other\"}",
          "\"sub\" not satisfied" },
        { "{\"aud\":\"spiffe://localhost/ns/default/dapr-sentry\"}", "\"sub\" not satisfied" },
        { "{\"sub\":\"spiffe://public/ns/default/shop\"}", "\"aud\" not satisfied" },
        { "{\"aud\":[],\"sub\":\"spiffe://public/ns/default/shop\"}", "\"aud\" not satisfied" },
        { "{\"aud\":\"spiffe://localhost/ns/default/dapr-sentr\",\"sub\":\"spiffe://public/ns/"
          "default/shop\"}",
          "\"aud\" not satisfied" },
        { "{\"exp\":1799999700}", "\"exp\" not satisfied" },
        { "{\"nbf\":1800000301}", "\"nbf\" not satisfied" },
        { "{\"iat\":1800000301}", "\"iat\" not satisfied" },
        { "{\"exp\":\"1800000060\"}", "the claims are malformed" },
        { "{\"exp\":1e999}", "the claims are malformed" },
        { "{\"sub\":\"a\",\"sub\":\"spiffe://public/ns/default/shop\"}",
          "the claims are malformed" },
        { "{\"aud\":[],\"aud\":\"spiffe://localhost/ns/default/dapr-sentry\"}",
          "the claims are malformed" },
        { "{\"aud\":{}}", "the claims are malformed" },
        { "{\"sub\":1}", "the claims are malformed" },
        { "[]", "the claims are malformed" },
        { "{} {}", "the claims are malformed" },
    };
    EVP_PKEY *key = key_generate();
    struct jwks *set = set_of(key, "one", "EdDSA");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!CHECK_SLICE_IS(verdict(set, token_of(key, "one", "EdDSA", rows[i][0])), rows[i][1]))
            fprintf(stderr, "  %s\n", rows[i][0]);
    jwks_free(set);
    EVP_PKEY_free(key);
}

TEST(no_algorithm_and_symmetric_ones_are_refused)
{
    start_clean();
    EVP_PKEY *key = key_generate_rsa();
    struct jwks *set = set_of(key, "one", "RS256");
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",  "{\"alg\":\"None\"}", "{}",
        "{\"alg\":\"HS256\"}", "{\"alg\":\"RS1\"}",  "{\"alg\":\"RS256\",\"crit\":[\"b64\"]}"
    };
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct slice token = arena_printf(&scratch, SLICE_FMT "." SLICE_FMT ".AAAA",
                                          SLICE_ARG(text_in_base64(headers[i])),
                                          SLICE_ARG(text_in_base64(GOOD)));
        CHECK_SLICE_IS(verdict(set, token), "the token's algorithm is not supported");
    }
    jwks_free(set);
    EVP_PKEY_free(key);
}

TEST(a_token_names_its_key_and_the_key_its_algorithm)
{
    start_clean();
    EVP_PKEY *key = key_generate_rsa(), *other = EVP_EC_gen("P-384");
    struct jwks *set = set_of(key, "one", "RS256");
    CHECK_SLICE_IS(verdict(set, token_of(key, "two", "RS256", GOOD)),
                   "no key of the set fits the token");
    CHECK_SLICE_IS(verdict(set, token_of(key, "one", "RS384", GOOD)),
                   "no key of the set fits the token");
    CHECK_SLICE_IS(verdict(set, token_of(key, "one", "PS256", GOOD)),
                   "no key of the set fits the token");
    CHECK_SLICE_IS(verdict(set, token_of(other, "one", "ES384", GOOD)),
                   "no key of the set fits the token");
    CHECK(!jwt_key_fits(other, SLICE("ES256")));
    jwks_free(set);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

TEST(what_is_no_token_is_refused)
{
    start_clean();
    EVP_PKEY *key = key_generate();
    struct jwks *set = set_of(key, "one", "EdDSA");
    struct slice token = token_of(key, "one", "EdDSA", GOOD);
    static const char *const texts[] = { "", ".", "..", "...", "a.b.c", "a.b", "a b.c.d", "====" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        CHECK_SLICE_IS(verdict(set, slice_str(texts[i])), "the token is malformed");
    CHECK_SLICE_IS(verdict(set, arena_printf(&scratch, SLICE_FMT ".AA", SLICE_ARG(token))),
                   "the token is malformed");
    for (size_t i = 0; i < token.len; i++)
        CHECK(jwt_verify(&scratch, set, slice_first(token, i), &expectation, &diag) != OK);
    CHECK_SLICE_IS(verdict(set, arena_printf(&scratch, SLICE_FMT "=", SLICE_ARG(token))),
                   "the token is malformed");
    jwks_free(set);
    EVP_PKEY_free(key);
}

TEST(a_header_with_two_algorithms_is_refused)
{
    start_clean();
    EVP_PKEY *key = key_generate();
    struct jwks *set = set_of(key, "one", "EdDSA");
    struct slice token = arena_printf(
        &scratch, SLICE_FMT ".e30.AAAA",
        SLICE_ARG(text_in_base64("{\"alg\":\"EdDSA\",\"alg\":\"none\"}")));
    CHECK_SLICE_IS(verdict(set, token), "the token is malformed");
    jwks_free(set);
    EVP_PKEY_free(key);
}
