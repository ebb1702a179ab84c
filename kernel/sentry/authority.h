/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate authority: trust anchors, the chain of the issuer below one of them, and the
 * issuer's key. Counted and constant once made, so that the thread that answers and the one that
 * reloads share it; a reload makes another. It signs what it is told: who may have what is decided
 * by the validators.
 */
#ifndef SENTRY_AUTHORITY_H
#define SENTRY_AUTHORITY_H

#include <openssl/x509.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct authority;

/* PEM, as in ca.crt, issuer.crt and issuer.key. */
struct authority_texts {
    struct slice anchors; /* one root or several: a bundle */
    struct slice chain;   /* the issuer first */
    struct slice key;     /* the issuer's; secret */
};

/* ERR_CONFIG with words if the texts do not fit together or are not valid now. */
err_t authority_new(const struct authority_texts *texts, struct authority **ret_authority,
                    struct diag *diag) WARN_UNUSED;
struct authority *authority_ref(struct authority *authority);
void authority_unref(struct authority *authority);

/* A new root and an issuer below it, valid for a year; the root's key is not kept. */
struct authority_form {
    struct slice trust_domain; /* the root's name */
    struct slice issuer_id;    /* SPIFFE id of the certificate authority, the issuer's name */
    int64_t skew_ms;           /* valid from so long ago */
};
/* Texts in the arena but for *ret_key, which is secret. */
err_t authority_generate(struct arena *arena, const struct authority_form *form,
                         struct authority_texts *ret_texts, struct diag *diag) WARN_UNUSED;
/* Of texts that authority_generate() made. */
void authority_texts_wipe(struct authority_texts *texts);

struct sign_request {
    EVP_PKEY *public_key;
    struct slice spiffe_id;
    const struct slice *dns_names;
    size_t dns_name_count;
    int64_t lifetime_ms; /* from now */
    int64_t skew_ms;
};

struct signed_certificate {
    struct slice chain; /* PEM, leaf first, then the issuer; in the arena */
    int64_t not_before_s;
    int64_t not_after_s; /* never later than authority_not_after_s() */
};

/* ERR_INTERNAL with words: the issuer is out of date, or OpenSSL failed. Any thread. */
err_t authority_sign(const struct authority *authority, struct arena *arena,
                     const struct sign_request *request, struct signed_certificate *ret_signed,
                     struct diag *diag) WARN_UNUSED;

/* PEM without comments. */
struct slice authority_anchors(const struct authority *authority);
/* When the issuer's certificate, or one that it hangs on, ends. */
int64_t authority_not_after_s(const struct authority *authority);

#endif
