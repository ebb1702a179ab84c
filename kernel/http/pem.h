/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys as PEM texts. Nobody is there to be asked for a password. Any thread. */
#ifndef HTTP_PEM_H
#define HTTP_PEM_H

#include "base/slice.h"

struct evp_pkey_st;

/* The first private key of a text (PKCS#8, SEC1 or PKCS#1), which the caller frees. NULL: none is
 * to be read; one with a password is none. Leaves no errors with OpenSSL. */
struct evp_pkey_st *pem_read_key(struct slice text) WARN_UNUSED;

/* For OpenSSL's readers: there is no password. */
int pem_no_password(char *text, int size, int is_writing, void *arg);

#endif
