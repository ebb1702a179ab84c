/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates as the reference makes them: a root, an issuer below it, and those of workloads,
 * whose only name is their SPIFFE id. Says nothing about who may have one. Any thread.
 */
#ifndef SENTRY_CERTIFICATE_H
#define SENTRY_CERTIFICATE_H

#include <openssl/x509.h>

#include "base/arena.h"
#include "base/slice.h"

enum certificate_kind { CERTIFICATE_ROOT, CERTIFICATE_ISSUER, CERTIFICATE_WORKLOAD };

/* Borrowed for the call. */
struct certificate_form {
    enum certificate_kind kind;
    struct slice organization; /* of a root or issuer */
    struct slice spiffe_id;    /* of a workload */
    const struct slice *dns_names;
    size_t dns_name_count;
    int64_t not_before_s; /* since 1970 */
    int64_t not_after_s;
    EVP_PKEY *public_key;
    X509 *issuer; /* NULL: signs itself */
    EVP_PKEY *issuer_key;
};

/* The caller frees it. NULL: OpenSSL failed. */
X509 *certificate_make(const struct certificate_form *form) WARN_UNUSED;

/* Every certificate of a PEM text, in order; the caller frees them. False: something in it is none,
 * or there are none, or more than `max`. Text around the blocks is passed over. */
bool certificates_read(struct slice pem, X509 **ret_certificates, size_t max,
                       size_t *ret_count) WARN_UNUSED;
void certificates_free(X509 **certificates, size_t count);

/* PEM text, in the arena. */
struct slice certificates_write(struct arena *arena, X509 *const *certificates, size_t count);

int64_t certificate_not_before_s(const X509 *certificate);
int64_t certificate_not_after_s(const X509 *certificate);

#endif
