/* SPDX-License-Identifier: Apache-2.0 */
/* Response head parser; see h1_response.h. */
#include "http/h1_response.h"

#include "http/chars.h"
#include "http/h1_head.h"

/* What is shown of an answer that is none. */
enum { SHOWN_BYTES_MAX = 64 };

struct counted {
    unsigned lengths;
    unsigned codings;
    bool says_close;
    bool says_keep_alive;
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *
parse_status_line(struct slice line, struct h1_response *response, struct slice *ret_shown)
{
    *ret_shown = slice_first(line, SHOWN_BYTES_MAX);
    ptrdiff_t space = slice_find_byte(line, ' ');
    if (space < 0)
        return "malformed HTTP response";
    struct slice version = slice_first(line, (size_t)space);
    struct slice rest = slice_from(line, (size_t)space + 1);
    if (version.len != 8 || !slice_has_prefix(version, SLICE("HTTP/1.")) ||
        !is_digit(version.data[7])) {
        *ret_shown = slice_first(version, SHOWN_BYTES_MAX);
        return "malformed HTTP version";
    }
    space = slice_find_byte(rest, ' ');
    struct slice code = space < 0 ? rest : slice_first(rest, (size_t)space);
    *ret_shown = slice_first(code, SHOWN_BYTES_MAX);
    if (code.len != 3 || !is_digit(code.data[0]) || !is_digit(code.data[1]) ||
        !is_digit(code.data[2]) || code.data[0] == '0')
        return "malformed HTTP status code";
    if (space >= 0 && !chars_are_value(slice_from(rest, (size_t)space + 1)))
        return "malformed HTTP response";
    response->version_minor = version.data[7] == '0' ? 0 : 1;
    response->status = (code.data[0] - '0') * 100 + (code.data[1] - '0') * 10 + code.data[2] - '0';
    return NULL;
}

/* NULL, or what is wrong with a header that concerns framing or connection. */
static const char *
note_header(const struct http_header *h, struct h1_response *response, struct counted *counted)
{
    uint64_t length;
    switch (h->name.len) {
    case 10:
        if (slice_eq_nocase(h->name, SLICE("connection")))
            h1_note_connection(h->value, &counted->says_close, &counted->says_keep_alive);
        break;
    case 14:
        if (!slice_eq_nocase(h->name, SLICE("content-length")))
            break;
        if (++counted->lengths > 1 || !slice_to_u64(h->value, &length) || length > INT64_MAX)
            return "bad Content-Length";
        response->content_length = (int64_t)length;
        break;
    case 17:
        if (!slice_eq_nocase(h->name, SLICE("transfer-encoding")))
            break;
        if (++counted->codings > 1 || !slice_eq_nocase(h->value, SLICE("chunked")))
            return "unsupported transfer encoding";
        response->is_chunked = true;
        break;
    default:
        break;
    }
    return NULL;
}

static const char *
parse_headers(struct slice rest, struct h1_response *response, struct counted *counted,
              struct slice *ret_shown)
{
    struct slice line;
    while ((line = h1_take_line(&rest)).len > 0) {
        if (response->header_count == LIMIT_http_headers_max)
            return "too many headers";
        struct http_header *h = &response->headers[response->header_count];
        *ret_shown = slice_first(line, SHOWN_BYTES_MAX);
        if (!h1_parse_header(line, h))
            return "malformed MIME header line";
        response->header_count++;
        *ret_shown = slice_first(h->value, SHOWN_BYTES_MAX);
        const char *why = note_header(h, response, counted);
        if (why != NULL)
            return why;
    }
    return NULL;
}

const char *
h1_response_parse(struct slice bytes, struct slice method, struct h1_response *ret_response,
                  struct slice *ret_shown)
{
    struct h1_response *response = ret_response;
    struct counted counted = { 0 };
    struct slice rest = bytes;
    response->content_length = HTTP_LENGTH_UNKNOWN;
    response->is_chunked = false;
    response->header_count = 0;
    const char *why = parse_status_line(h1_take_line(&rest), response, ret_shown);
    if (why == NULL)
        why = parse_headers(rest, response, &counted, ret_shown);
    if (why != NULL)
        return why;
    *ret_shown = SLICE_EMPTY;
    if (counted.codings > 0 && (counted.lengths > 0 || response->version_minor == 0))
        return "a transfer encoding where none may be";
    response->has_no_body = response->status < 200 || response->status == 204 ||
                            response->status == 304 || slice_eq(method, SLICE("HEAD"));
    response->keeps_alive = !counted.says_close &&
                            (response->version_minor > 0 || counted.says_keep_alive);
    return NULL;
}
