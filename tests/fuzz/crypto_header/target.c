/* SPDX-License-Identifier: Apache-2.0 */
/* A document from outside: its header is found and read within bounds, what is read can be written
 * again, and content behind it that nobody has sealed never opens. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "crypto/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char key[DOCUMENT_KEY_BYTES] = "a key that has sealed nothing";

/* The first segment is refused; an empty one has no tag, so it is too. */
static void
check_content(const struct document_header *header, struct slice bytes)
{
    struct slice got;
    uint32_t number;
    struct document *document = document_open_new(header, key);
    assert(document != NULL && document_is_empty(document));
    document_fill(document, &bytes);
    bool is_last = !document_is_full(document) || bytes.len == 0;
    enum document_step step = document_step(document, is_last, &got, &number);
    assert(step == DOCUMENT_FORGED && number == 0);
    document_free(document);
}

static void
check_header(struct slice text, struct slice content)
{
    struct arena arena;
    struct document_header header, again;
    struct slice written;
    arena_init(&arena);
    if (document_header_read(text, &arena, &header)) {
        assert(header.wrap >= DOCUMENT_A256KW && header.wrap <= DOCUMENT_RSA_OAEP_256);
        assert(document_wrap_name(header.wrap).len > 0 && header.wrapped_key.len > 0);
        assert(!document_header_verify(&header, key));
        if (document_header_write(&header, key, &arena, &written)) {
            assert(document_header_read(written, &arena, &again));
            assert(document_header_verify(&again, key) && again.cipher == header.cipher);
            assert(slice_eq(again.wrapped_key, header.wrapped_key));
        }
        check_content(&header, content);
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size), error = SLICE_EMPTY;
    size_t len = 0;
    enum document_found found = document_header_find(bytes, true, &len, &error);
    assert(found != DOCUMENT_INCOMPLETE);
    assert((found == DOCUMENT_INVALID) == (error.len > 0));
    if (found == DOCUMENT_FOUND) {
        assert(len <= size && len <= DOCUMENT_SEGMENT_BYTES);
        check_header(slice_first(bytes, len), slice_from(bytes, len));
    }
    for (size_t cut = 0; cut < len; cut += 1 + len / 16) /* never found before it is whole */
        assert(document_header_find(slice_first(bytes, cut), false, &len, &error) !=
               DOCUMENT_FOUND);
    return 0;
}
