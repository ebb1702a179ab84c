/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: the vectors of RFC 4648, and what is refused. */
#include "base/base64.h"

#include "test.h"

TEST(the_vectors_of_the_rfc_are_encoded_and_decoded)
{
    static const char *const vectors[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16], bytes[16];
        size_t len = 99;
        struct slice plain = slice_str(vectors[i][0]), encoded = slice_str(vectors[i][1]);
        CHECK_EQ_INT(base64_encoded_len(plain.len), encoded.len);
        base64_encode(plain, text);
        CHECK_EQ_SLICE(slice_of(text, encoded.len), encoded);
        CHECK(base64_decode(encoded, bytes, &len));
        CHECK_EQ_SLICE(slice_of(bytes, len), plain);
        CHECK(len <= base64_decoded_max(encoded.len));
    }
}

TEST(every_byte_comes_back)
{
    char bytes[256], text[344], back[258];
    size_t len = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    base64_encode(slice_of(bytes, sizeof bytes), text);
    CHECK(base64_decode(slice_of(text, sizeof text), back, &len));
    CHECK_EQ_MEM(back, len, bytes, sizeof bytes);
}

TEST(what_encoding_never_gives_is_refused)
{
    static const char *const texts[] = { "Zg",   "Zg=",   "Z===", "====",     "Zh==",        "Zm9=",
                                         "Zm=v", "Z m9v", "Zm9-", "Zg==Zg==", "Zm9v\n\n\n\n" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char bytes[16];
        size_t len;
        if (!CHECK(!base64_decode(slice_str(texts[i]), bytes, &len)))
            fprintf(stderr, "  %s\n", texts[i]);
    }
}

TEST(the_form_for_urls_has_no_padding_and_two_other_digits)
{
    static const char *const vectors[][2] = {
        { "", "" },        { "f", "Zg" },         { "fo", "Zm8" },
        { "foo", "Zm9v" }, { "foob", "Zm9vYg" },  { "\xfb\xff\xfe", "-__-" },
        { "\xff", "_w" },  { "\xfb\xf0", "-_A" },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16], bytes[16];
        size_t len = 99;
        struct slice plain = slice_str(vectors[i][0]), encoded = slice_str(vectors[i][1]);
        CHECK_EQ_INT(base64url_encoded_len(plain.len), encoded.len);
        base64url_encode(plain, text);
        CHECK_EQ_SLICE(slice_of(text, encoded.len), encoded);
        CHECK(base64url_decode(encoded, bytes, &len));
        CHECK_EQ_SLICE(slice_of(bytes, len), plain);
        CHECK(len <= base64url_decoded_max(encoded.len));
    }
}

TEST(what_the_form_for_urls_never_gives_is_refused)
{
    static const char *const texts[] = { "Z",     "Zg=",  "Zg==", "Zh",   "Zm9",
                                         "Zm9vY", "+__+", "-/_-", "Zm 9", "Zg\n" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char bytes[16];
        size_t len;
        if (!CHECK(!base64url_decode(slice_str(texts[i]), bytes, &len)))
            fprintf(stderr, "  %s\n", texts[i]);
    }
}
