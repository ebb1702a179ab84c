/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a document, segment by segment; see document.h. */
#include "crypto/document.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "crypto/derive.h"

enum { NONCE_BYTES = 12 };

struct document {
    EVP_CIPHER_CTX *context; /* knows key and direction */
    bool seals;
    bool has_overflowed; /* the number of segments that the nonce has room for */
    uint32_t number;     /* of the segment to come */
    unsigned char nonce_prefix[DOCUMENT_NONCE_PREFIX_BYTES];
    size_t whole; /* bytes of a segment that comes in whole */
    size_t len;   /* of the segment that is there */
    unsigned char in[DOCUMENT_SEGMENT_BYTES + DOCUMENT_TAG_BYTES];
    unsigned char out[DOCUMENT_SEGMENT_BYTES + DOCUMENT_TAG_BYTES];
};

bool
document_new_key(unsigned char ret_key[DOCUMENT_KEY_BYTES],
                 unsigned char ret_prefix[DOCUMENT_NONCE_PREFIX_BYTES])
{
    return RAND_bytes(ret_key, DOCUMENT_KEY_BYTES) == 1 &&
           RAND_bytes(ret_prefix, DOCUMENT_NONCE_PREFIX_BYTES) == 1;
}

static bool
set_key(struct document *document, enum document_cipher cipher, const unsigned char *file_key)
{
    unsigned char key[DOCUMENT_KEY_BYTES];
    struct slice salt = slice_of(document->nonce_prefix, sizeof document->nonce_prefix);
    const EVP_CIPHER *type = cipher == DOCUMENT_AES_GCM ? EVP_aes_256_gcm()
                                                        : EVP_chacha20_poly1305();
    document->context = EVP_CIPHER_CTX_new();
    bool ok = document->context != NULL && derive(file_key, salt, SLICE("payload"), key) &&
              EVP_CipherInit_ex(document->context, type, NULL, key, NULL, document->seals) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}

static struct document *
document_new(const struct document_header *header, const unsigned char *file_key, bool seals)
{
    struct document *document = calloc(1, sizeof *document);
    if (document == NULL)
        abort();
    document->seals = seals;
    document->whole = DOCUMENT_SEGMENT_BYTES + (seals ? 0 : DOCUMENT_TAG_BYTES);
    memcpy(document->nonce_prefix, header->nonce_prefix, sizeof document->nonce_prefix);
    if (set_key(document, header->cipher, file_key))
        return document;
    document_free(document);
    return NULL;
}

struct document *
document_seal_new(const struct document_header *header, const unsigned char *file_key)
{
    return document_new(header, file_key, true);
}

struct document *
document_open_new(const struct document_header *header, const unsigned char *file_key)
{
    return document_new(header, file_key, false);
}

void
document_free(struct document *document)
{
    if (document == NULL)
        return;
    EVP_CIPHER_CTX_free(document->context); /* which wipes it */
    OPENSSL_cleanse(document, sizeof *document);
    free(document);
}

bool
document_is_full(const struct document *document)
{
    return document->len == document->whole;
}

bool
document_is_empty(const struct document *document)
{
    return document->len == 0 && document->number == 0 && !document->has_overflowed;
}

void
document_fill(struct document *document, struct slice *bytes)
{
    struct slice part = slice_first(*bytes, document->whole - document->len);
    if (part.len > 0)
        memcpy(document->in + document->len, part.data, part.len);
    document->len += part.len;
    *bytes = slice_from(*bytes, part.len);
}

static bool
start(struct document *document, bool is_last)
{
    unsigned char nonce[NONCE_BYTES];
    memcpy(nonce, document->nonce_prefix, DOCUMENT_NONCE_PREFIX_BYTES);
    for (unsigned i = 0; i < 4; i++)
        nonce[DOCUMENT_NONCE_PREFIX_BYTES + i] = (unsigned char)(document->number >> (24 - 8 * i));
    nonce[NONCE_BYTES - 1] = is_last;
    return EVP_CipherInit_ex(document->context, NULL, NULL, NULL, nonce, -1) == 1;
}

static enum document_step
seal(struct document *document, size_t *ret_len)
{
    int len = 0, rest = 0;
    if (EVP_CipherUpdate(document->context, document->out, &len, document->in,
                         (int)document->len) != 1 ||
        EVP_CipherFinal_ex(document->context, document->out + len, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(document->context, EVP_CTRL_AEAD_GET_TAG, DOCUMENT_TAG_BYTES,
                            document->out + document->len) != 1)
        return DOCUMENT_EXHAUSTED;
    *ret_len = document->len + DOCUMENT_TAG_BYTES;
    return DOCUMENT_DONE;
}

/* What was opened counts once its tag has been seen to fit. */
static enum document_step
open(struct document *document, size_t *ret_len)
{
    int len = 0, rest = 0;
    if (document->len < DOCUMENT_TAG_BYTES)
        return DOCUMENT_FORGED;
    size_t text_len = document->len - DOCUMENT_TAG_BYTES;
    bool is_good = EVP_CIPHER_CTX_ctrl(document->context, EVP_CTRL_AEAD_SET_TAG, DOCUMENT_TAG_BYTES,
                                       document->in + text_len) == 1 &&
                   EVP_CipherUpdate(document->context, document->out, &len, document->in,
                                    (int)text_len) == 1 &&
                   EVP_CipherFinal_ex(document->context, document->out + len, &rest) == 1;
    if (!is_good)
        OPENSSL_cleanse(document->out, text_len);
    *ret_len = text_len;
    return is_good ? DOCUMENT_DONE : DOCUMENT_FORGED;
}

enum document_step
document_step(struct document *document, bool is_last, struct slice *ret_bytes,
              uint32_t *ret_number)
{
    assert(is_last || document_is_full(document));
    *ret_number = document->number;
    if (document->has_overflowed)
        return DOCUMENT_TOO_LONG;
    if (!start(document, is_last))
        return DOCUMENT_EXHAUSTED;
    size_t len = 0;
    enum document_step step = document->seals ? seal(document, &len) : open(document, &len);
    document->has_overflowed = document->number == UINT32_MAX;
    document->number++;
    document->len = 0;
    if (step == DOCUMENT_DONE)
        *ret_bytes = slice_of(document->out, len);
    return step;
}
