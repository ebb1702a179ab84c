/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of keys: what is read of them, and what is passed over or refused. */
#include "sentry/jwks.h"

#include "fixture.h"

static void
refused(const char *json, const char *words)
{
    struct jwks *set = NULL;
    CHECK_EQ_INT(jwks_parse(slice_str(json), &set, &diag), ERR_MALFORMED);
    CHECK_SLICE_IS(diag.message, words);
}

TEST(a_key_comes_back_from_its_set)
{
    start_clean();
    EVP_PKEY *keys[] = { key_generate(), key_generate_rsa(), EVP_EC_gen("P-256"),
                         EVP_EC_gen("P-384"), EVP_EC_gen("P-521") };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct jwks *set = NULL;
        REQUIRE_OK(jwks_parse(jwks_write(&scratch, keys[i], SLICE("id"), SLICE("X")), &set, &diag));
        CHECK_EQ_INT(set->count, 1);
        CHECK_EQ_INT(EVP_PKEY_eq(set->items[0].key, keys[i]), 1);
        CHECK_SLICE_IS(set->items[0].id, "id");
        CHECK_SLICE_IS(set->items[0].algorithm, "X");
        CHECK_EQ_SLICE(jwk_thumbprint(&scratch, set->items[0].key),
                       jwk_thumbprint(&scratch, keys[i]));
        jwks_free(set);
        EVP_PKEY_free(keys[i]);
    }
}

#define ED                                                                                         \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

TEST(keys_of_no_use_are_passed_over)
{
    start_clean();
    struct jwks *set = NULL;
    REQUIRE_OK(jwks_parse(
        SLICE("{\"more\":[{}],\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"RSA\",\"use\":"
              "\"enc\",\"n\":\"AQAB\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
              "\"AAAA\",\"y\":\"AAAA\"},{},{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}," ED
              ",{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}]}"),
        &set, &diag));
    CHECK_EQ_INT(set->count, 1);
    jwks_free(set);
}

TEST(a_point_that_is_not_on_the_curve_is_no_key)
{
    start_clean();
    refused("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
            "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
            "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
            "JWKS doesn't contain any keys");
}

TEST(what_is_no_set_is_refused)
{
    start_clean();
    refused("", "failed to parse JWKS");
    refused("[]", "failed to parse JWKS");
    refused("{}", "failed to parse JWKS");
    refused("{\"keys\":{}}", "failed to parse JWKS");
    refused("{\"keys\":[1]}", "failed to parse JWKS");
    refused("{\"keys\":[" ED "]", "failed to parse JWKS");
    refused("{\"keys\":[" ED "]}x", "failed to parse JWKS");
    refused("{\"keys\":[],\"keys\":[" ED "]}", "failed to parse JWKS");
    refused("{\"keys\":[]}", "JWKS doesn't contain any keys");
    struct arena_bytes many = { 0 };
    arena_append(&scratch, &many, SLICE("{\"keys\":[" ED));
    for (int i = 0; i < 100; i++)
        arena_append(&scratch, &many, SLICE("," ED));
    arena_append(&scratch, &many, SLICE("]}\0"));
    refused(many.data, "failed to parse JWKS");
}
