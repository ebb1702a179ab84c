/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificate signing requests: hostile bytes that are to prove possession of a key. Only the key
 * is taken from them; names they ask for are not looked at. Any thread.
 */
#ifndef SENTRY_CSR_H
#define SENTRY_CSR_H

#include <openssl/evp.h>

#include "base/err.h"
#include "base/slice.h"

/* One PEM block and nothing else. ERR_MALFORMED with the words of the answer. The caller frees the
 * key. */
err_t csr_read(struct slice pem, EVP_PKEY **ret_key, struct diag *diag) WARN_UNUSED;

#endif
