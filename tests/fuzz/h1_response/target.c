/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server may answer: any bytes give a checked head or words, and a body read by its framing
 * ends in one of the known ways, without a byte that was not there.
 */
#include "http/h1_response.h"

#include <assert.h>

#include "http/chars.h"
#include "http/h1_chunked.h"
#include "http/h1_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_head(const struct h1_response *response)
{
    assert(response->status >= 100 && response->status <= 999);
    assert(response->version_minor <= 1);
    assert(!response->is_chunked || response->content_length == HTTP_LENGTH_UNKNOWN);
    assert(response->content_length >= HTTP_LENGTH_UNKNOWN);
    assert(response->header_count <= LIMIT_http_headers_max);
    for (size_t i = 0; i < response->header_count; i++) {
        assert(response->headers[i].name.len > 0);
        assert(chars_are(response->headers[i].name, CHAR_TOKEN));
        assert(chars_are(response->headers[i].value, CHAR_VALUE));
    }
}

static void
read_body(const struct h1_response *response, struct slice rest)
{
    struct h1_body body = { .is_chunked = response->is_chunked };
    size_t taken = 0, size = rest.len;
    if (!response->is_chunked)
        body.left = response->content_length < 0 ? 0 : (uint64_t)response->content_length;
    body.is_ended = !body.is_chunked && body.left == 0;
    for (;;) {
        struct slice piece;
        enum h1_got got = h1_body_next(&body, &rest, &piece);
        if (got != H1_GOT_DATA)
            return;
        assert(piece.len > 0);
        taken += piece.len;
        assert(taken <= size);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h1_response response;
    struct slice bytes = slice_of(data, size), shown;
    size_t end = h1_head_end(bytes, 0);
    if (end == 0)
        return 0;
    const char *why = h1_response_parse(slice_first(bytes, end), SLICE("GET"), &response, &shown);
    if (why != NULL) {
        assert(why[0] != '\0' && shown.len <= 64);
        return 0;
    }
    check_head(&response);
    if (!response.has_no_body)
        read_body(&response, slice_from(bytes, end));
    return 0;
}
