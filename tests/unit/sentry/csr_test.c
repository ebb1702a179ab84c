/* SPDX-License-Identifier: Apache-2.0 */
/* Signing requests: what proves possession of a good key, and nothing else, is taken. */
#include "sentry/csr.h"

#include "base/limits.h"
#include "fixture.h"

static void
taken(EVP_PKEY *key, const EVP_MD *digest)
{
    EVP_PKEY *got = NULL;
    CHECK_OK(csr_read(csr_pem(key, digest), &got, &diag));
    CHECK(got != NULL && EVP_PKEY_eq(got, key) == 1);
    EVP_PKEY_free(got);
    EVP_PKEY_free(key);
}

static void
refused(struct slice pem, const char *words)
{
    EVP_PKEY *got = NULL;
    CHECK_EQ_INT(csr_read(pem, &got, &diag), ERR_MALFORMED);
    CHECK(got == NULL);
    CHECK_SLICE_IS(diag.message, words);
}

TEST(requests_of_every_good_key_are_taken)
{
    start_clean();
    taken(key_generate(), NULL);
    taken(EVP_EC_gen("P-256"), EVP_sha256());
    taken(EVP_EC_gen("P-384"), EVP_sha384());
    taken(EVP_EC_gen("P-521"), EVP_sha512());
    taken(key_generate_rsa(), EVP_sha256());
}

TEST(weak_keys_and_weak_signatures_are_refused)
{
    start_clean();
    EVP_PKEY *keys[] = { EVP_RSA_gen(1024), EVP_EC_gen("secp256k1"), EVP_EC_gen("P-256") };
    refused(csr_pem(keys[0], EVP_sha256()),
            "failed to parse certificate signing request: the RSA key is too short");
    refused(csr_pem(keys[1], EVP_sha256()),
            "failed to parse certificate signing request: the elliptic curve is none of P-256, "
            "P-384 and P-521");
    refused(csr_pem(keys[2], EVP_sha1()), "invalid signature");
    for (size_t i = 0; i < 3; i++)
        EVP_PKEY_free(keys[i]);
}

TEST(a_request_signed_with_another_key_is_refused)
{
    start_clean();
    EVP_PKEY *mine = key_generate(), *theirs = key_generate();
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(X509_REQ_set_pubkey(request, theirs) == 1);
    REQUIRE(X509_REQ_sign(request, mine, NULL) > 0);
    REQUIRE(PEM_write_bio_X509_REQ(bio, request) == 1);
    refused(bio_text(bio), "invalid signature");
    X509_REQ_free(request);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(theirs);
}

TEST(anything_but_one_block_is_refused)
{
    start_clean();
    const char *const invalid = "invalid certificate signing request";
    EVP_PKEY *key = key_generate();
    struct slice pem = csr_pem(key, NULL);
    refused(SLICE(""), invalid);
    refused(SLICE("-----BEGIN CERTIFICATE REQUEST-----"), invalid);
    refused(SLICE("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----"),
            invalid);
    refused(SLICE("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"),
            "failed to parse certificate signing request: it is malformed");
    refused(slice_first(pem, pem.len - 8), invalid);
    refused(arena_printf(&scratch, SLICE_FMT SLICE_FMT, SLICE_ARG(pem), SLICE_ARG(pem)), invalid);
    refused(arena_printf(&scratch, "text\n" SLICE_FMT, SLICE_ARG(pem)), invalid);
    refused(key_pem(key), invalid);
    EVP_PKEY_free(key);
}

TEST(blanks_around_the_block_do_no_harm)
{
    start_clean();
    EVP_PKEY *key = key_generate(), *got = NULL;
    struct slice pem = csr_pem(key, NULL);
    CHECK_OK(
        csr_read(arena_printf(&scratch, "\r\n " SLICE_FMT "\n\n", SLICE_ARG(pem)), &got, &diag));
    EVP_PKEY_free(got);
    EVP_PKEY_free(key);
}

TEST(a_request_that_is_too_long_is_refused_unread)
{
    start_clean();
    char *text = arena_alloc(&scratch, LIMIT_sentry_csr_bytes * 2);
    memset(text, 'A', LIMIT_sentry_csr_bytes * 2);
    const struct slice head = SLICE("-----BEGIN CERTIFICATE REQUEST-----\n");
    const struct slice tail = SLICE("\n-----END CERTIFICATE REQUEST-----");
    memcpy(text, head.data, head.len);
    memcpy(text + LIMIT_sentry_csr_bytes * 2 - tail.len, tail.data, tail.len);
    refused(slice_of(text, LIMIT_sentry_csr_bytes * 2), "invalid certificate signing request");
}

TEST(every_cut_and_every_flipped_byte_is_refused)
{
    start_clean();
    EVP_PKEY *key = key_generate();
    struct slice pem = csr_pem(key, NULL);
    for (size_t i = 0; i < pem.len; i++) {
        EVP_PKEY *got = NULL;
        char *text = arena_str(&scratch, pem);
        text[i] = (char)(text[i] == 'A' ? 'B' : 'A');
        if (csr_read(slice_of(text, pem.len), &got, &diag) == OK)
            CHECK(text[i] != pem.data[i] && i + 2 >= pem.len); /* the line feed behind it */
        EVP_PKEY_free(got);
        got = NULL;
        if (i + 2 < pem.len)
            CHECK(csr_read(slice_first(pem, i), &got, &diag) != OK);
    }
    EVP_PKEY_free(key);
}
