/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/document.h"

#include "base/buf.h"
#include "test.h"

static struct arena arena;

static const unsigned char key[DOCUMENT_KEY_BYTES] = "a key of exactly 32 bytes, see";

static struct document_header
header_of(enum document_cipher cipher)
{
    return (struct document_header){ .key_name = SLICE("<name>&\"x"),
                                     .wrap = DOCUMENT_RSA_OAEP_256,
                                     .cipher = cipher,
                                     .wrapped_key = SLICE("wrapped\0key"),
                                     .nonce_prefix = { 1, 2, 3, 4, 5, 6, 7 } };
}

/* The whole of it; false as soon as a segment is refused, what came before in `out`. */
static bool
run(struct document *document, struct slice bytes, size_t piece_bytes, struct buf *out)
{
    struct slice got;
    uint32_t number;
    for (size_t at = 0; at < bytes.len; at += piece_bytes) {
        struct slice piece = slice_first(slice_from(bytes, at), piece_bytes);
        while (piece.len > 0) {
            if (document_is_full(document)) {
                if (document_step(document, false, &got, &number) != DOCUMENT_DONE)
                    return false;
                REQUIRE(buf_append(out, got));
            }
            document_fill(document, &piece);
        }
    }
    if (document_step(document, true, &got, &number) != DOCUMENT_DONE)
        return false;
    REQUIRE(buf_append(out, got));
    return true;
}

static char *
content(size_t len)
{
    char *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * i + 7 * i + 3);
    return bytes;
}

static void
check_round_trip(enum document_cipher cipher, size_t len, size_t piece_bytes)
{
    struct document_header header = header_of(cipher);
    struct buf sealed, opened;
    char *bytes = content(len);
    buf_init(&sealed, 1 << 20);
    buf_init(&opened, 1 << 20);
    struct document *document = document_seal_new(&header, key);
    REQUIRE(document != NULL && document_is_empty(document));
    REQUIRE(run(document, slice_of(bytes, len), piece_bytes, &sealed));
    document_free(document);
    size_t segments = len == 0 ? 1 : (len + DOCUMENT_SEGMENT_BYTES - 1) / DOCUMENT_SEGMENT_BYTES;
    CHECK_EQ_INT(sealed.len, len + segments * DOCUMENT_TAG_BYTES);
    document = document_open_new(&header, key);
    CHECK(run(document, buf_slice(&sealed), piece_bytes, &opened));
    CHECK_EQ_MEM(buf_slice(&opened).data, opened.len, bytes, len);
    document_free(document);
    free(bytes);
    buf_fini(&sealed);
    buf_fini(&opened);
}

TEST(what_is_sealed_opens_whatever_its_length_and_pieces)
{
    static const size_t lens[] = { 0, 1, 65535, 65536, 65537, 131072, 200000 };
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        check_round_trip(DOCUMENT_AES_GCM, lens[i], 70000);
        check_round_trip(DOCUMENT_CHACHA20_POLY1305, lens[i], 999);
    }
}

static struct buf
sealed_of(const struct document_header *header, size_t len)
{
    struct buf sealed;
    char *bytes = content(len);
    buf_init(&sealed, 1 << 20);
    struct document *document = document_seal_new(header, key);
    REQUIRE(document != NULL && run(document, slice_of(bytes, len), len, &sealed));
    document_free(document);
    free(bytes);
    return sealed;
}

static void
check_refused(const struct document_header *header, struct slice bytes, size_t good_bytes)
{
    struct buf opened;
    buf_init(&opened, 1 << 20);
    struct document *document = document_open_new(header, key);
    CHECK(!run(document, bytes, 10000, &opened));
    CHECK_EQ_INT(opened.len, good_bytes); /* of the segments before, none of the bad one */
    document_free(document);
    buf_fini(&opened);
}

TEST(changed_cut_dropped_and_swapped_segments_are_refused)
{
    enum { SEALED = DOCUMENT_SEGMENT_BYTES + DOCUMENT_TAG_BYTES };
    struct document_header header = header_of(DOCUMENT_AES_GCM);
    struct buf sealed = sealed_of(&header, 3 * DOCUMENT_SEGMENT_BYTES);
    char *bytes = sealed.data;
    for (size_t at = 0; at < sealed.len; at += 13107) {
        bytes[at] ^= 1;
        check_refused(&header, buf_slice(&sealed), at / SEALED * DOCUMENT_SEGMENT_BYTES);
        bytes[at] ^= 1;
    }
    check_refused(&header, slice_of(bytes, sealed.len - 1), 2 * DOCUMENT_SEGMENT_BYTES);
    check_refused(&header, slice_of(bytes, 2 * SEALED), DOCUMENT_SEGMENT_BYTES);
    check_refused(&header, slice_of(bytes, SEALED), 0);
    check_refused(&header, slice_of(bytes, 5), 0);
    check_refused(&header, slice_of(bytes + SEALED, 2 * SEALED), 0);
    memmove(bytes + SEALED, bytes + 2 * SEALED, SEALED);
    check_refused(&header, slice_of(bytes, 2 * SEALED), DOCUMENT_SEGMENT_BYTES);
    buf_fini(&sealed);
}

/* --- header ------------------------------------------------------------------------------------*/

static struct slice
written(void)
{
    struct document_header header = header_of(DOCUMENT_CHACHA20_POLY1305);
    struct slice text;
    REQUIRE(document_header_write(&header, key, &arena, &text));
    return text;
}

TEST(a_header_is_written_as_the_reference_does_and_read_again)
{
    struct slice text = written(), error;
    struct document_header header;
    size_t len = 0;
    const char begin[] =
        "dapr.io/enc/v1\n{\"k\":\"\\u003cname\\u003e\\u0026\\\"x\",\"kw\":5,\"wfk\":"
        "\"d3JhcHBlZABrZXk=\",\"cph\":2,\"np\":\"AQIDBAUGBw==\"}\n";
    CHECK(slice_has_prefix(text, slice_str(begin)));
    CHECK_EQ_INT(text.len, sizeof begin - 1 + 45);
    CHECK_EQ_INT(document_header_find(text, false, &len, &error), DOCUMENT_FOUND);
    CHECK_EQ_INT(len, text.len);
    REQUIRE(document_header_read(text, &arena, &header));
    CHECK_SLICE_IS(header.key_name, "<name>&\"x");
    CHECK_EQ_INT(header.wrap, DOCUMENT_RSA_OAEP_256);
    CHECK_EQ_INT(header.cipher, DOCUMENT_CHACHA20_POLY1305);
    CHECK_EQ_INT(header.wrapped_key.len, 11);
    CHECK_EQ_INT(header.nonce_prefix[6], 7);
    CHECK(document_header_verify(&header, key));
    unsigned char other[DOCUMENT_KEY_BYTES] = { 0 };
    CHECK(!document_header_verify(&header, other));
}

TEST(no_byte_of_a_header_can_be_changed)
{
    struct slice text = written(), error;
    for (size_t at = 0; at < text.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            char *copy = (char *)(uintptr_t)arena_dup(&arena, text).data;
            struct document_header header;
            size_t len;
            copy[at] ^= (char)(1 << bit);
            struct slice changed = slice_of(copy, text.len);
            bool is_good = document_header_find(changed, true, &len, &error) == DOCUMENT_FOUND &&
                           document_header_read(slice_first(changed, len), &arena, &header) &&
                           document_header_verify(&header, key);
            if (!CHECK(!is_good))
                return;
        }
    }
}

static void
check_find(const char *text, bool is_all, enum document_found expected, const char *words)
{
    struct slice error = SLICE_EMPTY;
    size_t len;
    CHECK_EQ_INT(document_header_find(slice_str(text), is_all, &len, &error), expected);
    CHECK_SLICE_IS(error, words);
}

TEST(what_is_no_header_is_refused_as_soon_as_that_is_known)
{
    check_find("", false, DOCUMENT_INCOMPLETE, "");
    check_find("", true, DOCUMENT_INVALID, "scheme name not found");
    check_find("dapr.io/enc/v1", true, DOCUMENT_INVALID, "scheme name not found");
    check_find("dapr.io/enc/v2\n", false, DOCUMENT_INVALID, "unsupported scheme");
    check_find("\n", false, DOCUMENT_INVALID, "invalid format");
    check_find("dapr.io/enc/v1\n{}", false, DOCUMENT_INCOMPLETE, "");
    check_find("dapr.io/enc/v1\n{}", true, DOCUMENT_INVALID, "manifest not found");
    check_find("dapr.io/enc/v1\n\nx", false, DOCUMENT_INVALID, "invalid format");
    check_find("dapr.io/enc/v1\n{}\nmac", true, DOCUMENT_INVALID,
               "message authentication code not found");
    char *long_one = malloc(DOCUMENT_SEGMENT_BYTES + 1);
    memset(long_one, 'x', DOCUMENT_SEGMENT_BYTES);
    long_one[DOCUMENT_SEGMENT_BYTES] = '\0';
    check_find(long_one, false, DOCUMENT_INVALID, "scheme name not found");
    free(long_one);
}

TEST(manifests_are_checked)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "nonsense",
        "{\"kw\":1,\"wfk\":\"AAAA\",\"cph\":1}",
        "{\"kw\":0,\"wfk\":\"AAAA\",\"cph\":1,\"np\":\"AQIDBAUGBw==\"}",
        "{\"kw\":6,\"wfk\":\"AAAA\",\"cph\":1,\"np\":\"AQIDBAUGBw==\"}",
        "{\"kw\":1,\"wfk\":\"\",\"cph\":1,\"np\":\"AQIDBAUGBw==\"}",
        "{\"kw\":1,\"wfk\":\"AAAA\",\"cph\":3,\"np\":\"AQIDBAUGBw==\"}",
        "{\"kw\":1,\"wfk\":\"AAAA\",\"cph\":1,\"np\":\"AQIDBAUG\"}",
        "{\"kw\":1,\"wfk\":\"A*AA\",\"cph\":1,\"np\":\"AQIDBAUGBw==\"}",
        "{\"k\":7,\"kw\":1,\"wfk\":\"AAAA\",\"cph\":1,\"np\":\"AQIDBAUGBw==\"}",
        "{\"kw\":1,\"wfk\":\"AAAA\",\"cph\":1,\"np\":\"AQIDBAUGBw==\"} x",
    };
    struct document_header header;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct slice text = arena_printf(&arena, "dapr.io/enc/v1\n%s\nAAAA\n", bad[i]);
        if (!CHECK(!document_header_read(text, &arena, &header)))
            fprintf(stderr, "  accepted: %s\n", bad[i]);
    }
    CHECK(document_header_read(
        SLICE("dapr.io/enc/v1\n{\"x\":[{}],\"kw\":1,\"wfk\":\"AAAA\",\"cph\":1,"
              "\"np\":\"AQIDBAUGBw==\"}\nAAAA\n"),
        &arena, &header));
    CHECK_EQ_INT(header.key_name.len, 0);
}

TEST(names_are_taken_in_any_case_and_told_in_one)
{
    enum document_wrap wrap;
    enum document_cipher cipher;
    CHECK(document_wrap_parse(SLICE("rsa"), &wrap) && wrap == DOCUMENT_RSA_OAEP_256);
    CHECK_SLICE_IS(document_wrap_name(wrap), "RSA-OAEP-256");
    CHECK(document_wrap_parse(SLICE("Aes"), &wrap));
    CHECK_SLICE_IS(document_wrap_name(wrap), "A256KW");
    CHECK(!document_wrap_parse(SLICE("A128KW"), &wrap));
    CHECK(!document_wrap_parse(SLICE(""), &wrap));
    CHECK(document_cipher_parse(SLICE("ChaCha20-Poly1305"), &cipher));
    CHECK_EQ_INT(cipher, DOCUMENT_CHACHA20_POLY1305);
    CHECK(!document_cipher_parse(SLICE("aes"), &cipher));
    unsigned char a[DOCUMENT_KEY_BYTES], b[DOCUMENT_KEY_BYTES], prefix[7];
    CHECK(document_new_key(a, prefix) && document_new_key(b, prefix));
    CHECK(memcmp(a, b, sizeof a) != 0);
    arena_fini(&arena); /* the last test */
}
