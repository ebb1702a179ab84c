/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a document, derived from its file key; see document.h. */
#ifndef CRYPTO_DERIVE_H
#define CRYPTO_DERIVE_H

#include "crypto/document.h"

/* HKDF-SHA-256 (RFC 5869). False if libcrypto fails. */
bool derive(const unsigned char *file_key, struct slice salt, struct slice info,
            unsigned char ret_key[DOCUMENT_KEY_BYTES]) WARN_UNUSED;

#endif
