/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the certificate authority share: keys, requests, an authority of their own. */
#ifndef SENTRY_FIXTURE_H
#define SENTRY_FIXTURE_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "sentry/authority.h"
#include "sentry/certificate.h"
#include "sentry/key.h"
#include "test.h"

static struct arena scratch;
static struct diag diag;

__attribute__((unused)) static void
start_clean(void)
{
    arena_reset(&scratch);
    diag_init(&diag, &scratch);
}

__attribute__((unused)) static struct slice
bio_text(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    struct slice text = arena_dup(&scratch, slice_of(data, (size_t)len));
    BIO_free(bio);
    return text;
}

__attribute__((unused)) static struct slice
key_pem(EVP_PKEY *key)
{
    struct key_text text;
    REQUIRE(key_write(key, &text));
    struct slice pem = arena_dup(&scratch, slice_of(text.data, text.len));
    key_text_free(&text);
    return pem;
}

/* A request signed with the key, by a digest of one's choice. */
__attribute__((unused)) static struct slice
csr_pem(EVP_PKEY *key, const EVP_MD *digest)
{
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1);
    REQUIRE(X509_REQ_set_pubkey(request, key) == 1);
    REQUIRE(X509_REQ_sign(request, key, digest) > 0);
    REQUIRE(PEM_write_bio_X509_REQ(bio, request) == 1);
    X509_REQ_free(request);
    return bio_text(bio);
}

__attribute__((unused)) static struct authority_texts
generated(void)
{
    const struct authority_form form = { .trust_domain = SLICE("localhost"),
                                         .issuer_id = SLICE(
                                             "spiffe://localhost/ns/default/dapr-sentry"),
                                         .skew_ms = 900000 };
    struct authority_texts texts;
    REQUIRE_OK(authority_generate(&scratch, &form, &texts, &diag));
    struct slice key = arena_dup(&scratch, texts.key);
    authority_texts_wipe(&texts);
    texts.key = key;
    return texts;
}

__attribute__((unused)) static X509 *
first_certificate(struct slice pem)
{
    X509 *all[8];
    size_t count;
    REQUIRE(certificates_read(pem, all, 8, &count));
    certificates_free(all + 1, count - 1);
    return all[0];
}

#endif
