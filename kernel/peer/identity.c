/* SPDX-License-Identifier: Apache-2.0 */
/* An identity of certificate, key and trust anchors; see identity.h. */
#include "peer/identity.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "http/pem.h"
#include "http/spiffe.h"
#include "http/tls.h"

static bool
key_matches(X509 *leaf, struct slice key)
{
    EVP_PKEY *own = pem_read_key(key);
    bool is_own = own != NULL && X509_check_private_key(leaf, own) == 1;
    EVP_PKEY_free(own);
    ERR_clear_error();
    return is_own;
}

static bool
unix_time(const ASN1_TIME *time, int64_t *ret_unix_s)
{
    struct tm parts;
    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *ret_unix_s = timegm(&parts);
    return true;
}

static bool
serial_text(X509 *leaf, struct slice *ret_serial)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    char *text = number == NULL ? NULL : BN_bn2hex(number);
    BN_free(number);
    if (text != NULL)
        *ret_serial = slice_of(slice_copy(slice_str(text)), strlen(text));
    OPENSSL_free(text);
    return text != NULL;
}

/* What the leaf says; the texts are the identity's. */
static const char *
read_leaf(struct identity *identity, X509 *leaf, struct slice key)
{
    char *id = NULL;
    struct spiffe_app app;
    const char *why = spiffe_of_certificate(leaf, &id);
    if (why != NULL)
        return why;
    identity->id = slice_str(id);
    if (!spiffe_app_of(identity->id, &app))
        return "its id is not one of an application";
    identity->trust_domain = app.trust_domain;
    identity->namespace_ = app.namespace_;
    identity->app_id = app.app_id;
    if (!unix_time(X509_get0_notBefore(leaf), &identity->not_before_unix_s) ||
        !unix_time(X509_get0_notAfter(leaf), &identity->not_after_unix_s) ||
        !serial_text(leaf, &identity->serial))
        return "its times or its serial number cannot be read";
    return key_matches(leaf, key) ? NULL : "it is not of our key";
}

static void
make_contexts(struct identity *identity, struct slice chain, struct slice key, struct slice anchors)
{
    struct tls_config config = { .is_server = true,
                                 .verifies_spiffe = true,
                                 .ca = anchors,
                                 .cert = chain,
                                 .key = key,
                                 .alpn = SLICE("h2") };
    identity->server = tls_context_new(&config);
    config.is_server = false;
    identity->client = tls_context_new(&config);
}

err_t
identity_new(struct slice chain, struct slice key, struct slice anchors, struct diag *diag,
             struct identity **ret_identity)
{
    STACK_OF(X509) *certs = spiffe_read_pem(chain);
    if (certs == NULL)
        return DIAG_FAIL(diag, ERR_MALFORMED, "the certificate cannot be read");
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL)
        abort();
    atomic_init(&identity->refs, 1);
    const char *why = read_leaf(identity, sk_X509_value(certs, 0), key);
    sk_X509_pop_free(certs, X509_free);
    if (why != NULL) {
        identity_unref(identity);
        return DIAG_FAIL(diag, ERR_MALFORMED, "the certificate is of no use: %s", why);
    }
    make_contexts(identity, chain, key, anchors);
    *ret_identity = identity;
    return OK;
}

err_t
identity_verify(struct slice chain, struct slice anchors, struct diag *diag)
{
    STACK_OF(X509) *certs = spiffe_read_pem(chain), *trusted = spiffe_read_pem(anchors);
    int code = X509_V_ERR_UNSPECIFIED;
    bool is_read = certs != NULL && trusted != NULL;
    if (is_read) {
        X509 *leaf = sk_X509_value(certs, 0);
        code = spiffe_verify(leaf, certs, trusted, SPIFFE_SERVER, SPIFFE_ANY_TIME);
        if (code == X509_V_OK)
            code = spiffe_verify(leaf, certs, trusted, SPIFFE_CLIENT, SPIFFE_ANY_TIME);
    }
    sk_X509_pop_free(certs, X509_free);
    sk_X509_pop_free(trusted, X509_free);
    if (code == X509_V_OK)
        return OK;
    return DIAG_FAIL(diag, ERR_MALFORMED, "the certificate is not to be trusted: %s",
                     is_read ? X509_verify_cert_error_string(code) : "it cannot be read");
}

struct identity *
identity_ref(struct identity *identity)
{
    /* Relaxed: who counts has a reference already. */
    if (identity != NULL)
        (void)atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

void
identity_unref(struct identity *identity)
{
    /* Release what was done with it before, acquire what others did, then free. */
    if (identity == NULL || atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) > 1)
        return;
    tls_context_unref(identity->server);
    tls_context_unref(identity->client);
    free((void *)(uintptr_t)identity->id.data); /* ours, as is the next */
    free((void *)(uintptr_t)identity->serial.data);
    free(identity);
}
