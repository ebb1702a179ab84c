/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: any bytes give a checked head or a fault, and what a handler may rely on holds. */
#include "http/h1_head.h"

#include <assert.h>

#include "http/chars.h"
#include "http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_head(const struct h1_head *head)
{
    assert(head->method.len > 0 && chars_are(head->method, CHAR_TOKEN));
    assert(head->path.len > 0 && path_escapes_are_valid(head->path));
    assert(head->path.data[0] == '/' || slice_eq(head->path, SLICE("*")));
    assert(chars_are(head->target, CHAR_TARGET) && chars_are(head->query, CHAR_TARGET));
    assert(chars_are(head->authority, CHAR_HOST));
    assert(head->version_minor <= 1);
    assert(head->is_chunked == (head->content_length == HTTP_LENGTH_UNKNOWN));
    for (size_t i = 0; i < head->header_count; i++) {
        assert(head->headers[i].name.len > 0 && chars_are(head->headers[i].name, CHAR_TOKEN));
        assert(chars_are(head->headers[i].value, CHAR_VALUE));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    size_t end = h1_head_end(bytes, 0);
    /* Whoever looked before finds the same end. */
    for (size_t scanned = 0; scanned < size && (end == 0 || scanned < end); scanned += 1 + size / 8)
        assert(h1_head_end(bytes, scanned) == end);
    if (end == 0)
        return 0;
    static struct h1_head head;
    enum h1_fault fault = h1_head_parse(slice_first(bytes, end), &head);
    assert(h1_fault_answer(fault).len > 0);
    if (fault == H1_FAULT_NONE)
        check_head(&head);
    return 0;
}
