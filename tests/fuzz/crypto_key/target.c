/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as users give them: a JWK, PEM, base64, bytes, or a set; the first byte picks which. What is
 * read has a public half that is read again, and tells nothing of its private one. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/crypto/keyset.h"
#include "plugins/crypto/operate.h"
#include "plugins/crypto/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(const struct key *key)
{
    static const char *const algorithms[] = { "A256KW", "A128GCM", "RSA-OAEP-256", "RSA1_5" };
    const struct input input = { .data = { "0123456789abcdef", 16 },
                                 .nonce = { "0123456789ab", 12 },
                                 .associated_data = { "", 0 },
                                 .tag = { "0123456789abcdef", 16 } };
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct output output = { 0 };
        struct why why = { "" };
        if (!operate_encrypt(key, algorithms[i], &input, &output, &why))
            assert(why.text[0] != '\0');
        output_free(&output);
    }
}

static void
check_public(const struct key *key)
{
    struct why why = { "" };
    size_t len = 0;
    char *pem = key_public_pem(key, &len);
    assert((pem != NULL) == (key->kind != KEY_OCTETS));
    free(pem);
    char *jwk = key_public_jwk(key, &len);
    if (jwk == NULL)
        return;
    assert(strstr(jwk, "\"d\":") == NULL && strlen(jwk) == len);
    struct key *again = key_parse(jwk, len, KEY_FORM_JWK, &why);
    assert(len > KEY_BYTES_MAX ||
           (again != NULL && again->kind == key->kind && !again->is_private));
    key_unref(again);
    free(jwk);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why why = { "" };
    if (size == 0 || size > 8192) /* beyond, the numbers are large and slow */
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 's') {
        struct keyset *set = keyset_parse(text, size - 1, &why);
        assert(set != NULL || why.text[0] != '\0');
        keyset_free(set);
        return 0;
    }
    const enum key_form form = data[0] == 'j'   ? KEY_FORM_JWK
                               : data[0] == 'p' ? KEY_FORM_PEM
                                                : KEY_FORM_ANY;
    struct key *key = key_parse(text, size - 1, form, &why);
    assert(key != NULL || why.text[0] != '\0');
    if (key != NULL) {
        check_public(key);
        use(key);
    }
    key_unref(key);
    return 0;
}
