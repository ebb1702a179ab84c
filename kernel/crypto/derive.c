/* SPDX-License-Identifier: Apache-2.0 */
/* HKDF; see derive.h. */
#include "crypto/derive.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

/* The library takes parameters it may write to, and writes to none of these. */
static OSSL_PARAM
octets(const char *name, struct slice bytes)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes.data, bytes.len);
}

bool
derive(const unsigned char *file_key, struct slice salt, struct slice info,
       unsigned char ret_key[DOCUMENT_KEY_BYTES])
{
    char digest[] = "SHA256";
    OSSL_PARAM params[5], *at = params;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *at++ = octets(OSSL_KDF_PARAM_KEY, slice_of(file_key, DOCUMENT_KEY_BYTES));
    *at++ = octets(OSSL_KDF_PARAM_INFO, info);
    if (salt.len > 0)
        *at++ = octets(OSSL_KDF_PARAM_SALT, salt);
    *at = OSSL_PARAM_construct_end();
    bool ok = context != NULL && EVP_KDF_derive(context, ret_key, DOCUMENT_KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return ok;
}
