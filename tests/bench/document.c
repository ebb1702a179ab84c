/* SPDX-License-Identifier: Apache-2.0 */
/* What the document scheme costs beside its cipher: seals and opens so many MiB in memory, and
 * prints MiB of content per second of processor time for both. Arguments: cipher, MiB. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/document.h"

enum { SEGMENTS_PER_MIB = 16, OPENED_SEGMENTS = 64 };

static double
cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double
seal(const struct document_header *header, const unsigned char *key, const char *text,
     size_t segments)
{
    struct document *document = document_seal_new(header, key);
    struct slice got;
    uint32_t number;
    assert(document != NULL);
    double begin = cpu_seconds();
    for (size_t i = 0; i < segments; i++) {
        struct slice piece = slice_of(text, DOCUMENT_SEGMENT_BYTES);
        document_fill(document, &piece);
        enum document_step step = document_step(document, false, &got, &number);
        assert(step == DOCUMENT_DONE);
    }
    double took = cpu_seconds() - begin;
    document_free(document);
    return took;
}

/* A document of 4 MiB, as often as it takes. */
static double
open_again(const struct document_header *header, const unsigned char *key, const char *text,
           size_t segments)
{
    static char sealed[OPENED_SEGMENTS][DOCUMENT_SEGMENT_BYTES + DOCUMENT_TAG_BYTES];
    struct document *document = document_seal_new(header, key);
    struct slice got;
    uint32_t number;
    assert(document != NULL);
    for (size_t i = 0; i < OPENED_SEGMENTS; i++) {
        struct slice piece = slice_of(text, DOCUMENT_SEGMENT_BYTES);
        document_fill(document, &piece);
        enum document_step step = document_step(document, i + 1 == OPENED_SEGMENTS, &got, &number);
        assert(step == DOCUMENT_DONE && got.len == sizeof sealed[i]);
        memcpy(sealed[i], got.data, got.len);
    }
    document_free(document);
    double begin = cpu_seconds();
    for (size_t done = 0; done < segments; done += OPENED_SEGMENTS) {
        document = document_open_new(header, key);
        assert(document != NULL);
        for (size_t i = 0; i < OPENED_SEGMENTS; i++) {
            struct slice piece = slice_of(sealed[i], sizeof sealed[i]);
            document_fill(document, &piece);
            enum document_step step = document_step(document, i + 1 == OPENED_SEGMENTS, &got,
                                                    &number);
            assert(step == DOCUMENT_DONE);
        }
        document_free(document);
    }
    return cpu_seconds() - begin;
}

int
main(int argc, char **argv)
{
    struct document_header header = { .wrap = DOCUMENT_A256KW, .wrapped_key = SLICE("x") };
    unsigned char key[DOCUMENT_KEY_BYTES];
    uint64_t mib;
    if (argc != 3 || !document_cipher_parse(slice_str(argv[1]), &header.cipher) ||
        !slice_to_u64(slice_str(argv[2]), &mib) || mib == 0 || mib > 1 << 20)
        return EXIT_FAILURE;
    static const char text[DOCUMENT_SEGMENT_BYTES];
    if (!document_new_key(key, header.nonce_prefix))
        return EXIT_FAILURE;
    size_t segments = mib * SEGMENTS_PER_MIB;
    (void)seal(&header, key, text, segments / 8 + 1); /* caches and clocks are warm then */
    double sealing = seal(&header, key, text, segments);
    double opening = open_again(&header, key, text, segments);
    printf("%.0f %.0f\n", (double)mib / sealing, (double)mib / opening);
    return EXIT_SUCCESS;
}
