/* SPDX-License-Identifier: Apache-2.0 */
/* SCRAM with OpenSSL's arithmetic; see scram.h. */
#include "scram.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/base64.h"
#include "remora_plugin.h"

enum { SALT_BYTES_MAX = 256 };

struct bytes {
    unsigned char at[EVP_MAX_MD_SIZE];
};

static void
hmac(const struct scram *scram, const struct bytes *key, const char *text, size_t len,
     struct bytes *ret)
{
    unsigned int size = 0;
    if (HMAC(scram->digest, key->at, (int)scram->digest_bytes, (const unsigned char *)text, len,
             ret->at, &size) == NULL ||
        size != scram->digest_bytes)
        abort(); /* only for want of memory */
}

/* `=` and `,` have a meaning of their own. */
static bool
put_name(char *out, size_t room, const char *name)
{
    size_t len = 0;
    for (; *name != '\0'; name++) {
        const char *as = *name == '=' ? "=3D" : *name == ',' ? "=2C" : NULL;
        size_t need = as == NULL ? 1 : 3;
        if (len + need >= room)
            return false;
        memcpy(out + len, as == NULL ? name : as, need);
        len += need;
    }
    out[len] = '\0';
    return true;
}

bool
scram_init(struct scram *scram, const char *mechanism, const char *username, const char *password,
           const char *nonce)
{
    char name[SCRAM_TEXT_BYTES / 4];
    unsigned char random[SCRAM_NONCE_BYTES / 4 * 3];
    *scram = (struct scram){
        .digest = strcmp(mechanism, "SCRAM-SHA-512") == 0 ? EVP_sha512() : EVP_sha256(),
        .username = username,
        .password = password,
    };
    scram->digest_bytes = (size_t)EVP_MD_get_size(scram->digest);
    if (nonce != NULL)
        snprintf(scram->nonce, sizeof scram->nonce, "%s", nonce);
    else if (RAND_bytes(random, sizeof random) == 1)
        base64_encode(random, sizeof random, scram->nonce); /* whose NUL is there already */
    else
        abort();
    if (!put_name(name, sizeof name, username))
        return false;
    snprintf(scram->first, sizeof scram->first, "n=%s,r=%s", name, scram->nonce);
    return true;
}

size_t
scram_first(const struct scram *scram, char out[SCRAM_TEXT_BYTES])
{
    return (size_t)snprintf(out, SCRAM_TEXT_BYTES, "n,,%s", scram->first);
}

/* The value of `name=` at the beginning of *text, which moves behind it and its comma. */
static bool
take(struct remora_slice *text, char name, struct remora_slice *ret)
{
    if (text->len < 2 || text->data[0] != name || text->data[1] != '=')
        return false;
    const char *comma = memchr(text->data, ',', text->len);
    size_t len = comma == NULL ? text->len : (size_t)(comma - text->data);
    *ret = (struct remora_slice){ text->data + 2, len - 2 };
    len += comma != NULL;
    *text = (struct remora_slice){ text->data + len, text->len - len };
    return true;
}

struct challenge {
    struct remora_slice nonce;
    unsigned char salt[SALT_BYTES_MAX];
    size_t salt_bytes;
    int64_t rounds;
};

static bool
read_challenge(const struct scram *scram, struct remora_slice text, struct challenge *ret)
{
    struct remora_slice salt, rounds;
    size_t own = strlen(scram->nonce);
    return take(&text, 'r', &ret->nonce) && take(&text, 's', &salt) && take(&text, 'i', &rounds) &&
           ret->nonce.len > own && memcmp(ret->nonce.data, scram->nonce, own) == 0 &&
           salt.len / 4 * 3 <= sizeof ret->salt &&
           base64_decode(salt.data, salt.len, ret->salt, &ret->salt_bytes) &&
           remora_parse_i64(rounds, &ret->rounds) && ret->rounds >= SCRAM_ROUNDS_MIN &&
           ret->rounds <= SCRAM_ROUNDS_MAX;
}

/* Salted password and, from it, the client's key; the server's key for later. */
static void
derive(const struct scram *scram, const struct challenge *challenge, struct bytes *ret_client,
       struct bytes *ret_server)
{
    struct bytes salted;
    if (PKCS5_PBKDF2_HMAC(scram->password, (int)strlen(scram->password), challenge->salt,
                          (int)challenge->salt_bytes, (int)challenge->rounds, scram->digest,
                          (int)scram->digest_bytes, salted.at) != 1)
        abort();
    hmac(scram, &salted, "Client Key", 10, ret_client);
    hmac(scram, &salted, "Server Key", 10, ret_server);
    OPENSSL_cleanse(&salted, sizeof salted);
}

size_t
scram_final(struct scram *scram, const char *server_first, size_t len, char out[SCRAM_TEXT_BYTES])
{
    struct challenge challenge;
    struct bytes client, server, stored, signature;
    char all[2 * SCRAM_TEXT_BYTES], bare[SCRAM_TEXT_BYTES * 3 / 4];
    char proof[EVP_MAX_MD_SIZE / 3 * 4 + 8];
    if (len >= SCRAM_TEXT_BYTES / 2 ||
        !read_challenge(scram, (struct remora_slice){ server_first, len }, &challenge))
        return 0;
    snprintf(bare, sizeof bare, "c=biws,r=%.*s", (int)challenge.nonce.len, challenge.nonce.data);
    int all_len = snprintf(all, sizeof all, "%s,%.*s,%s", scram->first, (int)len, server_first,
                           bare);
    derive(scram, &challenge, &client, &server);
    if (EVP_Digest(client.at, scram->digest_bytes, stored.at, NULL, scram->digest, NULL) != 1)
        abort();
    hmac(scram, &stored, all, (size_t)all_len, &signature);
    for (size_t i = 0; i < scram->digest_bytes; i++)
        client.at[i] ^= signature.at[i];
    hmac(scram, &server, all, (size_t)all_len, &signature);
    memcpy(scram->server_signature, signature.at, scram->digest_bytes);
    size_t proof_len = base64_encoded_len(scram->digest_bytes);
    base64_encode(client.at, scram->digest_bytes, proof);
    OPENSSL_cleanse(&client, sizeof client);
    OPENSSL_cleanse(&stored, sizeof stored);
    OPENSSL_cleanse(&server, sizeof server);
    int out_len = snprintf(out, SCRAM_TEXT_BYTES, "%s,p=%.*s", bare, (int)proof_len, proof);
    return out_len < SCRAM_TEXT_BYTES ? (size_t)out_len : 0;
}

bool
scram_is_proved(const struct scram *scram, const char *server_final, size_t len)
{
    struct remora_slice text = { server_final, len }, value;
    unsigned char signature[EVP_MAX_MD_SIZE * 2];
    size_t bytes;
    return take(&text, 'v', &value) && value.len / 4 * 3 <= sizeof signature &&
           base64_decode(value.data, value.len, signature, &bytes) &&
           bytes == scram->digest_bytes &&
           CRYPTO_memcmp(signature, scram->server_signature, bytes) == 0;
}
