/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: their text and which are good enough. */
#include "http/pem.h"

#include "fixture.h"

TEST(a_key_comes_back_from_its_text)
{
    start_clean();
    EVP_PKEY *key = key_generate();
    REQUIRE(key != NULL);
    struct slice pem = key_pem(key);
    CHECK(slice_has_prefix(pem, SLICE("-----BEGIN PRIVATE KEY-----\n")));
    EVP_PKEY *again = pem_read_key(pem);
    REQUIRE(again != NULL);
    CHECK_EQ_INT(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}

static struct slice
traditional(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    return bio_text(bio);
}

TEST(the_older_forms_of_text_are_read)
{
    start_clean();
    EVP_PKEY *keys[] = { EVP_EC_gen("P-256"), key_generate_rsa() };
    const char *const heads[] = { "-----BEGIN EC PRIVATE KEY-----",
                                  "-----BEGIN RSA PRIVATE KEY-----" };
    for (size_t i = 0; i < 2; i++) {
        struct slice pem = traditional(keys[i]);
        CHECK(slice_has_prefix(pem, slice_str(heads[i])));
        EVP_PKEY *again = pem_read_key(pem);
        CHECK(again != NULL && EVP_PKEY_eq(keys[i], again) == 1);
        EVP_PKEY_free(again);
        EVP_PKEY_free(keys[i]);
    }
}

TEST(a_key_with_a_password_and_what_is_no_key_are_none)
{
    start_clean();
    EVP_PKEY *key = key_generate();
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "word", 4, NULL, NULL) == 1);
    CHECK(pem_read_key(bio_text(bio)) == NULL);
    CHECK(pem_read_key(SLICE("")) == NULL);
    CHECK(pem_read_key(SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")) ==
          NULL);
    EVP_PKEY_free(key);
}

static void
complains(EVP_PKEY *key, const char *why)
{
    REQUIRE(key != NULL);
    const char *complaint = key_complaint(key);
    CHECK_EQ_STR(complaint, why);
    EVP_PKEY_free(key);
}

/* Parameters instead of a name. */
static EVP_PKEY *
nameless_curve(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    REQUIRE(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit") == 1);
    return key;
}

TEST(weak_and_odd_keys_are_refused_with_a_reason)
{
    complains(key_generate(), NULL);
    complains(EVP_EC_gen("P-256"), NULL);
    complains(EVP_EC_gen("P-384"), NULL);
    complains(EVP_EC_gen("P-521"), NULL);
    complains(key_generate_rsa(), NULL);
    complains(EVP_RSA_gen(1024), "the RSA key is too short");
    complains(EVP_EC_gen("secp256k1"), "the elliptic curve is none of P-256, P-384 and P-521");
    complains(EVP_EC_gen("P-224"), "the elliptic curve is none of P-256, P-384 and P-521");
    complains(nameless_curve(), "the elliptic curve has no name");
    complains(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), "the key is none of Ed25519, ECDSA and RSA");
    complains(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "the key is none of Ed25519, ECDSA and RSA");
}
