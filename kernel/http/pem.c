/* SPDX-License-Identifier: Apache-2.0 */
/* See pem.h. */
#include "http/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

int
pem_no_password(char *text, int size, int is_writing, void *arg)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)arg;
    return 0;
}

struct evp_pkey_st *
pem_read_key(struct slice text)
{
    BIO *bio = text.len > INT_MAX ? NULL : BIO_new_mem_buf(text.data, (int)text.len);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}
