/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities from outside: an id as text, a certificate as bytes, PEM texts as Sentry and trust
 * bundles have them. What is taken for an id has one form only, reads the same again, and holds
 * nothing that a log or an access list could take for something else.
 */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "http/spiffe.h"
#include "peer/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_id(struct slice text)
{
    struct spiffe_id id, again;
    struct spiffe_app app;
    if (!spiffe_parse(text, &id)) {
        assert(!spiffe_app_of(text, &app));
        return;
    }
    assert(text.len <= LIMIT_spiffe_id_bytes && slice_eq(id.text, text));
    assert(spiffe_trust_domain_is_valid(id.trust_domain));
    assert(id.trust_domain.len + id.path.len + strlen("spiffe://") == text.len);
    assert(slice_find(id.path, SLICE("//")) < 0 && !slice_has_suffix(id.path, SLICE("/")));
    for (size_t i = 0; i < text.len; i++)
        assert(text.data[i] > ' ' && text.data[i] < 0x7f &&
               strchr("%?#;\\*\"'@", text.data[i]) == NULL);
    if (spiffe_app_of(text, &app)) {
        char copy[LIMIT_spiffe_id_bytes + 1];
        int len = snprintf(copy, sizeof copy, "spiffe://" SLICE_FMT "/ns/" SLICE_FMT "/" SLICE_FMT,
                           SLICE_ARG(app.trust_domain), SLICE_ARG(app.namespace_),
                           SLICE_ARG(app.app_id));
        assert(slice_eq(slice_of(copy, (size_t)len), text));
        assert(spiffe_parse(slice_of(copy, (size_t)len), &again));
    }
}

/* Either an id that stands for itself, or words. */
static void
check_certificate(X509 *cert)
{
    char *id = NULL;
    struct spiffe_id parsed;
    const char *why = spiffe_of_certificate(cert, &id);
    assert((why == NULL) == (id != NULL));
    assert(why != NULL || spiffe_parse(slice_str(id), &parsed));
    assert(ERR_peek_error() == 0);
    free(id);
}

static void
check_bytes(const uint8_t *data, size_t size)
{
    X509 *cert = d2i_X509(NULL, &data, (long)size);
    ERR_clear_error();
    if (cert == NULL)
        return;
    check_certificate(cert);
    STACK_OF(X509) *anchors = sk_X509_new_null();
    assert(anchors != NULL && sk_X509_push(anchors, cert) > 0);
    (void)!spiffe_verify(cert, anchors, anchors, SPIFFE_SERVER, SPIFFE_ANY_TIME);
    (void)!spiffe_verify(cert, NULL, anchors, SPIFFE_CLIENT, SPIFFE_NOW);
    sk_X509_free(anchors);
    X509_free(cert);
}

/* A chain, and behind a NUL the key or the anchors. */
static void
check_pem(struct slice text)
{
    ptrdiff_t at = slice_find_byte(text, '\0');
    struct slice first = at < 0 ? text : slice_first(text, (size_t)at);
    struct slice second = at < 0 ? SLICE_EMPTY : slice_from(text, (size_t)at + 1);
    struct identity *identity;
    struct arena arena;
    struct diag diag;
    STACK_OF(X509) *certs = spiffe_read_pem(first);
    for (int i = 0; i < sk_X509_num(certs); i++)
        check_certificate(sk_X509_value(certs, i));
    spiffe_free(certs);
    arena_init(&arena);
    diag_init(&diag, &arena);
    if (identity_new(first, second, first, &diag, &identity) == OK) {
        check_id(identity->id);
        identity_unref(identity);
    }
    (void)!identity_verify(first, second, &diag);
    (void)!identity_verify(first, first, &diag);
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        check_id(text);
        break;
    case 1:
        check_bytes(data + 1, size - 1);
        break;
    default:
        check_pem(text);
    }
    return 0;
}
