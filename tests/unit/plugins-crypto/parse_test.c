/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/crypto/parse.h"

#include "plugins/crypto/keyset.h"
#include "plugins/crypto/operate.h"
#include "test.h"

static struct why why;

static struct key *
parse(const char *text, enum key_form form)
{
    why = (struct why){ "" };
    return key_parse(text, strlen(text), form, &why);
}

static void
check_refused(const char *text, enum key_form form, const char *words)
{
    CHECK(parse(text, form) == NULL);
    if (!CHECK(strstr(why.text, words) != NULL))
        fprintf(stderr, "  %s\n", why.text);
}

static void
check_octets(const char *text, size_t len, size_t expected)
{
    struct key *key = key_parse(text, len, KEY_FORM_ANY, &why);
    REQUIRE(key != NULL);
    CHECK_EQ_INT(key->kind, KEY_OCTETS);
    CHECK_EQ_INT(key->octet_count, expected);
    key_unref(key);
}

TEST(symmetric_keys_are_bytes_or_base64_of_either_alphabet)
{
    check_octets("AAECAwQFBgcICQoLDA0ODw==", 24, 16);
    check_octets("AAECAwQFBgcICQoLDA0ODw", 22, 16);
    check_octets("_-8_-8_-8_-8_-8_-8_-8w", 22, 16);
    check_octets("{nothing of base64}     ", 24, 24);
    check_octets("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16, 16);
    check_refused("", KEY_FORM_ANY, "key is empty");
}

TEST(jwks_of_all_kinds_are_read)
{
    struct key *key = parse(
        "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODw\",\"kid\":\"a\",\"alg\":"
        "\"A128KW\",\"key_ops\":[\"wrapKey\",\"x\",7]}",
        KEY_FORM_ANY);
    REQUIRE(key != NULL);
    CHECK_EQ_STR(key->id, "a");
    CHECK(key_allows(key, KEY_WRAP, "A128KW", &why));
    CHECK(!key_allows(key, KEY_UNWRAP, "A128KW", &why));
    CHECK(!key_allows(key, KEY_WRAP, "A128GCM", &why));
    key_unref(key);
    key = parse(
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"xMlrhlwIDe5yXb2z6B1cBsAeRxkFdTAPq7cXrcunpDs\","
        "\"y\":\"DmjR_LtJZnZFtOkYAH5qcy22jvApaIGcXiAHIJ5kgDs\",\"use\":\"sig\"}",
        KEY_FORM_JWK);
    REQUIRE(key != NULL);
    CHECK_EQ_INT(key->kind, KEY_EC);
    CHECK(!key->is_private);
    CHECK_EQ_STR(key_curve(key), "P-256");
    CHECK(key_allows(key, KEY_VERIFY, "ES256", &why));
    CHECK(!key_allows(key, KEY_ENCRYPT, "ES256", &why));
    size_t len;
    char *text = key_public_jwk(key, &len);
    CHECK(text != NULL &&
          strstr(text, "\"y\":\"DmjR_LtJZnZFtOkYAH5qcy22jvApaIGcXiAHIJ5kgDs\"") != NULL);
    free(text);
    key_unref(key);
}

TEST(malformed_jwks_are_refused)
{
    check_refused("{", KEY_FORM_JWK, "JSON");
    check_refused("[]", KEY_FORM_JWK, "kty");
    check_refused("{\"kty\":7}", KEY_FORM_JWK, "kty");
    check_refused("{\"kty\":\"xyz\"}", KEY_FORM_JWK, "invalid key type");
    check_refused("{\"kty\":\"oct\"}", KEY_FORM_JWK, "'k'");
    check_refused("{\"kty\":\"oct\",\"k\":\"***\"}", KEY_FORM_JWK, "'k'");
    check_refused("{\"kty\":\"RSA\",\"n\":\"AQAB\"}", KEY_FORM_JWK, "malformed");
    check_refused("{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}", KEY_FORM_JWK, "malformed");
    check_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", KEY_FORM_JWK,
                  "malformed");
    check_refused(
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"xMlrhlwIDe5yXb2z6B1cBsAeRxkFdTAPq7cXrcunpDs\","
        "\"y\":\"DmjR_LtJZnZFtOkYAH5qcy22jvApaIGcXiAHIJ5kgDA\"}",
        KEY_FORM_JWK, "malformed"); /* not on the curve */
    check_refused("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}", KEY_FORM_JWK,
                  "malformed");
    check_refused("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", KEY_FORM_JWK, "malformed");
    check_refused("[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]", KEY_FORM_JWK, "JSON");
    check_refused("-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n", KEY_FORM_ANY, "PEM");
}

TEST(sets_are_found_in_json_and_in_base64_and_bounded)
{
    const char text[] = "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAEC\",\"kid\":\"a\"},{\"kty\":"
                        "\"oct\",\"k\":\"AwQF\"}]}";
    struct keyset *set = keyset_parse(text, sizeof text - 1, &why);
    REQUIRE(set != NULL);
    CHECK_EQ_INT(keyset_count(set), 2);
    CHECK(keyset_find(set, (struct remora_slice){ "a", 1 }) != NULL);
    CHECK(keyset_find(set, (struct remora_slice){ "", 0 }) == NULL);
    keyset_free(set);
    const char encoded[] = "eyJrZXlzIjpbeyJrdHkiOiJvY3QiLCJrIjoiQUFFQyIsImtpZCI6ImEifV19";
    set = keyset_parse(encoded, sizeof encoded - 1, &why);
    REQUIRE(set != NULL);
    CHECK_EQ_INT(keyset_count(set), 1);
    keyset_free(set);
    CHECK(keyset_parse("{}", 2, &why) == NULL);
    CHECK(keyset_parse("", 0, &why) == NULL);
    CHECK(keyset_parse("{\"keys\":[{}]}", 13, &why) == NULL);
    CHECK(strstr(why.text, "key 0") != NULL);
}

/* Of draft-irtf-cfrg-xchacha, A.3. */
TEST(xchacha20_poly1305_is_the_drafts)
{
    unsigned char bytes[32], nonce[24];
    const unsigned char aad[] = { 0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                                  0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7 };
    const char plain[] =
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        "future, sunscreen would be it.";
    static const unsigned char tag[] = { 0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79,
                                         0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49 };
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(0x80 + i);
    for (unsigned i = 0; i < sizeof nonce; i++)
        nonce[i] = (unsigned char)(0x40 + i);
    struct key *key = key_new_octets(bytes, sizeof bytes);
    const struct input input = { .data = { plain, sizeof plain - 1 },
                                 .nonce = { (const char *)nonce, sizeof nonce },
                                 .associated_data = { (const char *)aad, sizeof aad } };
    struct output output = { 0 };
    REQUIRE(operate_encrypt(key, "XC20P", &input, &output, &why));
    CHECK_EQ_INT(output.len, sizeof plain - 1);
    CHECK_EQ_INT(output.data[0], 0xbd);
    CHECK_EQ_MEM(output.tag, output.tag_len, tag, sizeof tag);
    output_free(&output);
    key_unref(key);
}
