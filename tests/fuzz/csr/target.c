/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate signing requests: whatever the bytes are they are refused with words, or their key is
 * a good one. Bytes that are no PEM are wrapped in it, so that the DER inside is explored too. */
#include "sentry/csr.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/base64.h"
#include "sentry/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_BYTES = 48 };

static struct slice
wrapped(struct arena *arena, struct slice der)
{
    struct arena_bytes pem = { 0 };
    char line[LINE_BYTES / 3 * 4];
    arena_append(arena, &pem, SLICE("-----BEGIN CERTIFICATE REQUEST-----\n"));
    for (size_t at = 0; at < der.len; at += LINE_BYTES) {
        struct slice part = slice_first(slice_from(der, at), LINE_BYTES);
        base64_encode(part, line);
        arena_append(arena, &pem, slice_of(line, base64_encoded_len(part.len)));
        arena_append(arena, &pem, SLICE("\n"));
    }
    arena_append(arena, &pem, SLICE("-----END CERTIFICATE REQUEST-----\n"));
    return arena_bytes_slice(&pem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag diag;
    EVP_PKEY *key = NULL;
    struct slice bytes = slice_of(data, size);
    arena_init(&arena);
    diag_init(&diag, &arena);
    if (!slice_has_prefix(bytes, SLICE("-")))
        bytes = wrapped(&arena, bytes);
    if (csr_read(bytes, &key, &diag) == OK) {
        assert(key != NULL && key_complaint(key) == NULL);
        EVP_PKEY_free(key);
    } else {
        assert(key == NULL && diag.message.len > 0);
    }
    arena_fini(&arena);
    return 0;
}
