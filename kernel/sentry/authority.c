/* SPDX-License-Identifier: Apache-2.0 */
/* See authority.h. */
#include "sentry/authority.h"

#include <openssl/crypto.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/pem.h"
#include "sentry/certificate.h"
#include "sentry/key.h"

enum { LIFETIME_S = 365 * 24 * 3600 };

struct authority {
    atomic_uint refs;
    struct arena arena; /* constant once made */
    struct slice anchors;
    X509 *chain[LIMIT_sentry_chain_max]; /* the issuer first, the root left out */
    size_t chain_count;
    EVP_PKEY *key;
    int64_t not_after_s;
};

static int64_t
now_s(void)
{
    return clock_unix_ms() / 1000;
}

/* --- checking ----------------------------------------------------------------------------------*/

static bool
signs_itself(X509 *certificate)
{
    return X509_check_issued(certificate, certificate) == X509_V_OK &&
           X509_verify(certificate, X509_get0_pubkey(certificate)) == 1;
}

static err_t
check_anchors(X509 *const *anchors, size_t count, struct diag *diag)
{
    for (size_t i = 0; i < count; i++)
        if (!signs_itself(anchors[i]))
            return DIAG_FAIL(diag, ERR_CONFIG, "certificate in trust anchor is not self-signed");
    return OK;
}

static err_t
read_chain(struct authority *authority, struct slice text, struct diag *diag)
{
    if (!certificates_read(text, authority->chain, LIMIT_sentry_chain_max, &authority->chain_count))
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to decode the issuer certificate");
    /* Workloads get the root as an anchor, not with each chain. */
    if (authority->chain_count > 1 && signs_itself(authority->chain[authority->chain_count - 1]))
        X509_free(authority->chain[--authority->chain_count]);
    X509 *issuer = authority->chain[0];
    if (X509_check_ca(issuer) != 1 || (X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN) == 0)
        return DIAG_FAIL(diag, ERR_CONFIG, "intermediate certificate is not valid for signing");
    return OK;
}

static err_t
read_key(struct authority *authority, struct slice text, struct diag *diag)
{
    authority->key = pem_read_key(text);
    if (authority->key == NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to decode the issuer key");
    const char *why = key_complaint(authority->key);
    if (why != NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "the issuer key cannot be used: %s", why);
    if (X509_check_private_key(authority->chain[0], authority->key) != 1)
        return DIAG_FAIL(diag, ERR_CONFIG, "issuer key does not match issuer certificate");
    return OK;
}

/* As those who are shown a workload's certificate will do. X509_V_OK, or OpenSSL's code. */
static int
verify_with(const struct authority *authority, X509 *anchor)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509) *trusted = sk_X509_new_null(), *others = sk_X509_new_null();
    bool is_good = context != NULL && trusted != NULL && others != NULL &&
                   sk_X509_push(trusted, anchor) > 0;
    for (size_t i = 1; i < authority->chain_count && is_good; i++)
        is_good = sk_X509_push(others, authority->chain[i]) > 0;
    if (!is_good || X509_STORE_CTX_init(context, NULL, authority->chain[0], others) != 1)
        abort(); /* out of memory */
    X509_STORE_CTX_set0_trusted_stack(context, trusted);
    X509_STORE_CTX_set_time(context, 0, now_s());
    int code = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    sk_X509_free(others);
    sk_X509_free(trusted);
    X509_STORE_CTX_free(context);
    return code;
}

/* Each anchor by itself: OpenSSL takes one by its name, and all roots of the reference have the
 * same. The one that lasts longest counts. */
static err_t
verify_chain(struct authority *authority, X509 *const *anchors, size_t count, struct diag *diag)
{
    int why = X509_V_OK;
    int64_t root_ends_s = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        int code = verify_with(authority, anchors[i]);
        int64_t ends_s = certificate_not_after_s(anchors[i]);
        if (code == X509_V_OK)
            root_ends_s = ends_s > root_ends_s ? ends_s : root_ends_s;
        /* That a stranger has not signed it says less than that it has ended. */
        if (i == 0 || code == X509_V_ERR_CERT_HAS_EXPIRED)
            why = code;
    }
    if (root_ends_s == INT64_MIN)
        return DIAG_FAIL(diag, ERR_CONFIG, "issuer chain does not belong to trust anchors: %s",
                         X509_verify_cert_error_string(why));
    authority->not_after_s = root_ends_s;
    for (size_t i = 0; i < authority->chain_count; i++)
        if (certificate_not_after_s(authority->chain[i]) < authority->not_after_s)
            authority->not_after_s = certificate_not_after_s(authority->chain[i]);
    return OK;
}

static err_t
read_all(struct authority *authority, const struct authority_texts *texts, struct diag *diag)
{
    X509 *anchors[LIMIT_sentry_anchors_max];
    size_t count = 0;
    if (!certificates_read(texts->anchors, anchors, LIMIT_sentry_anchors_max, &count))
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to decode trust anchors");
    err_t err = check_anchors(anchors, count, diag);
    if (err == OK)
        err = read_chain(authority, texts->chain, diag);
    if (err == OK)
        err = read_key(authority, texts->key, diag);
    if (err == OK)
        err = verify_chain(authority, anchors, count, diag);
    authority->anchors = certificates_write(&authority->arena, anchors, count);
    certificates_free(anchors, count);
    return err;
}

err_t
authority_new(const struct authority_texts *texts, struct authority **ret_authority,
              struct diag *diag)
{
    struct authority *authority = calloc(1, sizeof *authority);
    if (authority == NULL)
        abort();
    atomic_init(&authority->refs, 1);
    arena_init(&authority->arena);
    err_t err = read_all(authority, texts, diag);
    key_clear_errors();
    if (err == OK)
        *ret_authority = authority;
    else
        authority_unref(authority);
    return err;
}

struct authority *
authority_ref(struct authority *authority)
{
    (void)atomic_fetch_add_explicit(&authority->refs, 1, memory_order_relaxed);
    return authority;
}

void
authority_unref(struct authority *authority)
{
    /* Release, for the acquire of the last one. */
    if (authority == NULL ||
        atomic_fetch_sub_explicit(&authority->refs, 1, memory_order_acq_rel) > 1)
        return;
    certificates_free(authority->chain, authority->chain_count);
    EVP_PKEY_free(authority->key); /* wipes it */
    arena_fini(&authority->arena);
    free(authority);
}

/* --- generating --------------------------------------------------------------------------------*/

struct made {
    EVP_PKEY *root_key, *key;
    X509 *root, *issuer;
    struct key_text key_text;
};

static bool
make_all(const struct authority_form *form, struct made *made)
{
    made->root_key = key_generate();
    made->key = key_generate();
    if (made->root_key == NULL || made->key == NULL)
        return false;
    struct certificate_form next = {
        .kind = CERTIFICATE_ROOT,
        .organization = form->trust_domain,
        .not_before_s = (clock_unix_ms() - form->skew_ms) / 1000,
        .not_after_s = now_s() + LIFETIME_S,
        .public_key = made->root_key,
        .issuer_key = made->root_key,
    };
    made->root = certificate_make(&next);
    next.kind = CERTIFICATE_ISSUER;
    next.organization = form->issuer_id;
    next.public_key = made->key;
    next.issuer = made->root;
    made->issuer = made->root == NULL ? NULL : certificate_make(&next);
    return made->issuer != NULL && key_write(made->key, &made->key_text);
}

err_t
authority_generate(struct arena *arena, const struct authority_form *form,
                   struct authority_texts *ret_texts, struct diag *diag)
{
    struct made made = { 0 };
    err_t err = OK;
    if (make_all(form, &made))
        *ret_texts = (struct authority_texts){
            .anchors = certificates_write(arena, &made.root, 1),
            .chain = certificates_write(arena, &made.issuer, 1),
            .key = slice_of(made.key_text.data, made.key_text.len),
        };
    else
        err = DIAG_FAIL(diag, ERR_INTERNAL, "failed to generate CA bundle");
    EVP_PKEY_free(made.root_key);
    EVP_PKEY_free(made.key);
    X509_free(made.root);
    X509_free(made.issuer);
    return err;
}

void
authority_texts_wipe(struct authority_texts *texts)
{
    struct key_text key = { .data = (char *)(uintptr_t)texts->key.data, .len = texts->key.len };
    key_text_free(&key);
    texts->key = SLICE_EMPTY;
}

/* --- signing -----------------------------------------------------------------------------------*/

err_t
authority_sign(const struct authority *authority, struct arena *arena,
               const struct sign_request *request, struct signed_certificate *ret_signed,
               struct diag *diag)
{
    const int64_t now_ms = clock_unix_ms();
    struct certificate_form form = {
        .kind = CERTIFICATE_WORKLOAD,
        .spiffe_id = request->spiffe_id,
        .dns_names = request->dns_names,
        .dns_name_count = request->dns_name_count,
        .not_before_s = (now_ms - request->skew_ms) / 1000,
        .not_after_s = (now_ms + request->lifetime_ms) / 1000,
        .public_key = request->public_key,
        .issuer = authority->chain[0],
        .issuer_key = authority->key,
    };
    if (authority->not_after_s <= now_ms / 1000)
        return DIAG_FAIL(diag, ERR_INTERNAL, "the issuer certificate has expired");
    if (form.not_after_s > authority->not_after_s)
        form.not_after_s = authority->not_after_s;
    X509 *all[LIMIT_sentry_chain_max + 1] = { certificate_make(&form) };
    if (all[0] == NULL)
        return DIAG_FAIL(diag, ERR_INTERNAL, "the certificate could not be signed");
    for (size_t i = 0; i < authority->chain_count; i++)
        all[i + 1] = authority->chain[i];
    *ret_signed = (struct signed_certificate){
        .chain = certificates_write(arena, all, authority->chain_count + 1),
        .not_before_s = form.not_before_s,
        .not_after_s = form.not_after_s,
    };
    X509_free(all[0]);
    return OK;
}

struct slice
authority_anchors(const struct authority *authority)
{
    return authority->anchors;
}

int64_t
authority_not_after_s(const struct authority *authority)
{
    return authority->not_after_s;
}
