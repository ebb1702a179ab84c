/* SPDX-License-Identifier: Apache-2.0 */
/* See csr.h. */
#include "sentry/csr.h"

#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/limits.h"
#include "sentry/key.h"

/* The bytes of the block. OpenSSL's reader skips text in front and takes several kinds and
 * encrypted blocks; here the text is the block. NULL: it is none; else to be freed. */
static unsigned char *
der_of(struct slice pem, long *ret_len)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    struct slice text = slice_trim(pem);
    if (text.len == 0 || text.len > LIMIT_sentry_csr_bytes ||
        !slice_has_prefix(text, SLICE("-----BEGIN CERTIFICATE REQUEST-----")) ||
        !slice_has_suffix(text, SLICE("-----END CERTIFICATE REQUEST-----")))
        return NULL;
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    bool is_good = bio != NULL && PEM_read_bio(bio, &name, &header, &der, ret_len) == 1 &&
                   header[0] == '\0' && BIO_eof(bio) == 1;
    BIO_free(bio);
    OPENSSL_free(name);
    OPENSSL_free(header);
    if (is_good)
        return der;
    OPENSSL_free(der);
    return NULL;
}

/* What is weaker proves nothing. */
static bool
has_good_digest(const X509_REQ *request)
{
    switch (X509_REQ_get_signature_nid(request)) {
    case NID_ED25519:
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
        return true;
    default:
        return false;
    }
}

static err_t
check(X509_REQ *request, EVP_PKEY **ret_key, struct diag *diag)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);
    const char *why = key == NULL ? "the key cannot be read" : key_complaint(key);
    if (why != NULL)
        return DIAG_FAIL(diag, ERR_MALFORMED, "failed to parse certificate signing request: %s",
                         why);
    if (!has_good_digest(request) || X509_REQ_verify(request, key) != 1)
        return DIAG_FAIL(diag, ERR_MALFORMED, "invalid signature");
    (void)EVP_PKEY_up_ref(key); /* only counts */
    *ret_key = key;
    return OK;
}

err_t
csr_read(struct slice pem, EVP_PKEY **ret_key, struct diag *diag)
{
    long len = 0;
    unsigned char *der = der_of(pem, &len);
    if (der == NULL) {
        key_clear_errors();
        return DIAG_FAIL(diag, ERR_MALFORMED, "invalid certificate signing request");
    }
    const unsigned char *at = der;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, len);
    err_t err;
    if (request == NULL || at != der + len)
        err = DIAG_FAIL(diag, ERR_MALFORMED,
                        "failed to parse certificate signing request: it is malformed");
    else
        err = check(request, ret_key, diag);
    X509_REQ_free(request);
    OPENSSL_free(der);
    key_clear_errors();
    return err;
}
