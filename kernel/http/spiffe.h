/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities of a mesh by the SPIFFE standards: what an id looks like, which one a certificate
 * carries, and whether an authority that we trust says so. Strict, because access is decided on the
 * text: what could be read in two ways is no id. Any thread.
 */
#ifndef HTTP_SPIFFE_H
#define HTTP_SPIFFE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct x509_st;
struct stack_st_X509;

/* Parts point into the text that was parsed. */
struct spiffe_id {
    struct slice text;         /* all of it */
    struct slice trust_domain; /* lower case */
    struct slice path;         /* from the first slash on; empty: the trust domain itself */
};

/* An id of Dapr's: "spiffe://<trust domain>/ns/<namespace>/<app id>". */
struct spiffe_app {
    struct slice trust_domain;
    struct slice namespace_;
    struct slice app_id;
};

bool spiffe_parse(struct slice text, struct spiffe_id *ret_id) WARN_UNUSED;
/* False also for an id that is one, but of no application. */
bool spiffe_app_of(struct slice text, struct spiffe_app *ret_app) WARN_UNUSED;
bool spiffe_trust_domain_is_valid(struct slice text);

/* The id of a certificate that is no authority's: the only URI among its alternative names. NULL
 * and the text, which is the caller's to free, or why there is no such. */
const char *spiffe_of_certificate(struct x509_st *leaf, char **ret_id) WARN_UNUSED;

enum spiffe_side { SPIFFE_SERVER, SPIFFE_CLIENT };
enum spiffe_time { SPIFFE_NOW, SPIFFE_ANY_TIME };

/* Whether an authority of `anchors` answers for the leaf, by way of certificates among `others`
 * (may be NULL), in that part of a connection. X509_V_OK, or OpenSSL's code for the reason. Each
 * anchor is tried: two may have one name. */
int spiffe_verify(struct x509_st *leaf, struct stack_st_X509 *others,
                  const struct stack_st_X509 *anchors, enum spiffe_side side,
                  enum spiffe_time time) WARN_UNUSED;

/* All certificates of a PEM text, nothing else may be in it but text in front of them; NULL if
 * there is none, one is broken, or there are more than LIMIT_spiffe_certificates_max. */
struct stack_st_X509 *spiffe_read_pem(struct slice pem) WARN_UNUSED;
/* NULL is nothing. */
void spiffe_free(struct stack_st_X509 *certificates);

#endif
