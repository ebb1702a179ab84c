/* SPDX-License-Identifier: Apache-2.0 */
/* Which form the bytes of a key have; see parse.h. */
#include "parse.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base64_any.h"

/* Without this libcrypto would ask the terminal. */
static int
no_password(char *password, int size, int is_writing, void *arg)
{
    (void)password, (void)size, (void)is_writing, (void)arg;
    return -1;
}

static EVP_PKEY *
read_certificate(BIO *in)
{
    X509 *certificate = PEM_read_bio_X509(in, NULL, no_password, NULL);
    EVP_PKEY *pair = certificate == NULL ? NULL : X509_get_pubkey(certificate);
    X509_free(certificate);
    return pair;
}

static struct key *
parse_pem(const char *bytes, size_t len, struct why *why)
{
    BIO *in = BIO_new_mem_buf(bytes, (int)len);
    if (in == NULL)
        abort();
    EVP_PKEY *pair = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
    const bool is_private = pair != NULL;
    if (pair == NULL && BIO_reset(in) == 1)
        pair = PEM_read_bio_PUBKEY(in, NULL, no_password, NULL);
    if (pair == NULL && BIO_reset(in) == 1)
        pair = read_certificate(in);
    BIO_free(in);
    ERR_clear_error();
    if (pair != NULL)
        return key_new_pair(pair, is_private, why);
    (void)why_set(why, "failed to parse PEM encoded key");
    return NULL;
}

static struct key *
parse_jwk(const char *bytes, size_t len, struct why *why)
{
    cJSON *tree = json_parse(bytes, len, why);
    struct key *key = tree == NULL ? NULL : jwk_read(tree, why);
    json_secret_delete(tree);
    return key;
}

static struct key *
parse_octets(const char *bytes, size_t len)
{
    unsigned char *decoded = memory_new(base64_any_decoded_max(len));
    size_t decoded_len = 0;
    struct key *key = base64_any_decode(bytes, len, decoded, &decoded_len)
                          ? key_new_octets(decoded, decoded_len)
                          : key_new_octets((const unsigned char *)bytes, len);
    OPENSSL_cleanse(decoded, base64_any_decoded_max(len));
    free(decoded);
    return key;
}

struct key *
key_parse(const char *bytes, size_t len, enum key_form form, struct why *why)
{
    if (len == 0 || len > KEY_BYTES_MAX) {
        (void)why_set(why, len == 0 ? "key is empty" : "key is too large");
        return NULL;
    }
    /* A symmetric key of these lengths may begin with any byte. */
    const bool may_be_octets = len == 16 || len == 24 || len == 32;
    if (form == KEY_FORM_JWK || (form == KEY_FORM_ANY && bytes[0] == '{' && !may_be_octets))
        return parse_jwk(bytes, len, why);
    if (form == KEY_FORM_PEM ||
        (form == KEY_FORM_ANY && len > 10 && memcmp(bytes, "-----", 5) == 0))
        return parse_pem(bytes, len, why);
    return parse_octets(bytes, len);
}
