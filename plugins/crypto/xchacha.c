/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HChaCha20 (draft-irtf-cfrg-xchacha) on libcrypto's ChaCha20, which has no other name for it: a
 * block of its key stream is the permuted state plus the state before, and of eight of these words
 * the state before is known to all, so that subtracting it gives what is wanted.
 */
#include <string.h>

#include "operate.h"

enum { BLOCK_BYTES = 64, HALF_BYTES = 16 };

static uint32_t
read_word(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Four words: from the block, less what was there before. */
static void
subtract(const unsigned char *block, const unsigned char *before, unsigned char *ret)
{
    for (unsigned i = 0; i < HALF_BYTES; i += 4) {
        const uint32_t word = read_word(block + i) - read_word(before + i);
        for (unsigned k = 0; k < 4; k++)
            ret[i + k] = (unsigned char)(word >> (8 * k));
    }
}

bool
xchacha_derive(const unsigned char *key, const unsigned char *nonce, unsigned char ret_key[32],
               unsigned char ret_nonce[12])
{
    static const char constants[] = "expand 32-byte k";
    static const unsigned char zeros[BLOCK_BYTES];
    unsigned char block[BLOCK_BYTES];
    int len = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const bool ok = context != NULL &&
                    EVP_EncryptInit_ex(context, EVP_chacha20(), NULL, key, nonce) == 1 &&
                    EVP_EncryptUpdate(context, block, &len, zeros, sizeof zeros) == 1;
    EVP_CIPHER_CTX_free(context);
    if (ok) {
        subtract(block, (const unsigned char *)constants, ret_key);
        subtract(block + BLOCK_BYTES - HALF_BYTES, nonce, ret_key + HALF_BYTES);
        memset(ret_nonce, 0, 4);
        memcpy(ret_nonce + 4, nonce + HALF_BYTES, 8);
    }
    OPENSSL_cleanse(block, sizeof block);
    return ok;
}
