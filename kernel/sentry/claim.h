/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who somebody says to be: the three names of a request, by the rules for app ids and SPIFFE ids
 * (the latter of the SPIFFE-ID standard). What passes can stand in a certificate. Pure.
 */
#ifndef SENTRY_CLAIM_H
#define SENTRY_CLAIM_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct claim {
    struct slice app_id;
    struct slice namespace_;
    struct slice trust_domain; /* empty: "public" */
    bool has_csr;
};

/* "spiffe://domain/ns/namespace/app" in the arena. ERR_MALFORMED with every complaint, a line each,
 * in the words of the reference. */
err_t claim_check(struct arena *arena, const struct claim *claim, struct slice *ret_id,
                  struct diag *diag) WARN_UNUSED;

#endif
