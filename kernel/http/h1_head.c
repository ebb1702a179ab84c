/* SPDX-License-Identifier: Apache-2.0 */
/* Request head parser; see h1_head.h. */
#include "http/h1_head.h"

#include "http/chars.h"
#include "http/path.h"

/* What lines of the head say about framing, counted so that repetition is seen. */
struct framing {
    unsigned hosts;
    unsigned lengths;
    unsigned codings;
    struct slice host;
    bool says_close;
    bool says_keep_alive;
};

#define PLAIN(status, body)                                                                        \
    SLICE(status "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" body)

struct slice
h1_fault_answer(enum h1_fault fault)
{
    switch (fault) {
    case H1_FAULT_NONE:
    case H1_FAULT_MALFORMED:
        break;
    case H1_FAULT_NO_HOST:
        return PLAIN("400 Bad Request: missing required Host header",
                     "400 Bad Request: missing required Host header");
    case H1_FAULT_BAD_HOST:
        return PLAIN("400 Bad Request: malformed Host header",
                     "400 Bad Request: malformed Host header");
    case H1_FAULT_VERSION:
        return PLAIN("505 HTTP Version Not Supported: unsupported protocol version",
                     "505 HTTP Version Not Supported: unsupported protocol version");
    case H1_FAULT_CODING:
        return PLAIN("501 Not Implemented", "Unsupported transfer encoding");
    case H1_FAULT_TOO_LARGE:
        return PLAIN("431 Request Header Fields Too Large", "431 Request Header Fields Too Large");
    case H1_FAULT_EXPECTATION:
        return SLICE("417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n");
    case H1_FAULT_OVERLOADED:
        return PLAIN("503 Service Unavailable", "503 Service Unavailable");
    }
    return PLAIN("400 Bad Request", "400 Bad Request");
}

/* --- where a head ends -------------------------------------------------------------------------*/

/* Length of the one empty line that may stand before the request line. */
static size_t
leading_blank(struct slice bytes)
{
    if (bytes.len > 0 && bytes.data[0] == '\n')
        return 1;
    return bytes.len > 1 && bytes.data[0] == '\r' && bytes.data[1] == '\n' ? 2 : 0;
}

size_t
h1_head_end(struct slice bytes, size_t scanned)
{
    size_t at = leading_blank(bytes);
    at = at > 0 ? at - 1 : 0; /* an empty request line ends a head too */
    if (scanned > at + 3)
        at = scanned - 3;
    while (at < bytes.len) {
        const char *lf = memchr(bytes.data + at, '\n', bytes.len - at);
        if (lf == NULL)
            return 0;
        at = (size_t)(lf - bytes.data) + 1;
        if (at < bytes.len && bytes.data[at] == '\n')
            return at + 1;
        if (at + 1 < bytes.len && bytes.data[at] == '\r' && bytes.data[at + 1] == '\n')
            return at + 2;
    }
    return 0;
}

bool
h1_head_may_begin(struct slice bytes)
{
    size_t skip = leading_blank(bytes);
    if (skip == 0 && bytes.len == 1 && bytes.data[0] == '\r')
        return true;
    return bytes.len <= skip || char_is(bytes.data[skip], CHAR_TOKEN);
}

struct slice
h1_take_line(struct slice *rest)
{
    const char *lf = memchr(rest->data, '\n', rest->len);
    size_t len = (size_t)(lf - rest->data);
    struct slice line = slice_of(rest->data, len);
    *rest = slice_of(lf + 1, rest->len - len - 1);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* --- request line ------------------------------------------------------------------------------*/

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum h1_fault
parse_version(struct slice text, unsigned *ret_minor)
{
    if (text.len != 8 || memcmp(text.data, "HTTP/", 5) != 0 || text.data[6] != '.' ||
        !is_digit(text.data[5]) || !is_digit(text.data[7]))
        return H1_FAULT_MALFORMED;
    if (text.data[5] != '1')
        return H1_FAULT_VERSION;
    *ret_minor = text.data[7] == '0' ? 0 : 1;
    return H1_FAULT_NONE;
}

/* http://authority/path: the authority replaces Host. */
static bool
parse_absolute(struct slice target, struct h1_head *head)
{
    size_t scheme_len = slice_has_prefix_nocase(target, SLICE("http://"))    ? 7
                        : slice_has_prefix_nocase(target, SLICE("https://")) ? 8
                                                                             : 0;
    if (scheme_len == 0)
        return false;
    struct slice rest = slice_from(target, scheme_len);
    size_t len = 0;
    while (len < rest.len && rest.data[len] != '/' && rest.data[len] != '?')
        len++;
    head->authority = slice_first(rest, len);
    head->target = slice_from(rest, len);
    return len > 0 && chars_are(head->authority, CHAR_HOST);
}

static bool
parse_target(struct slice target, struct h1_head *head)
{
    if (target.len == 0 || !chars_are(target, CHAR_TARGET))
        return false;
    head->target = target;
    if (target.data[0] != '/' && !slice_eq(target, SLICE("*")) && !parse_absolute(target, head))
        return false;
    ptrdiff_t mark = slice_find_byte(head->target, '?');
    head->path = mark < 0 ? head->target : slice_first(head->target, (size_t)mark);
    head->query = slice_from(head->target, head->path.len + 1);
    if (head->path.len == 0)
        head->path = SLICE("/");
    if (head->target.len == 0)
        head->target = SLICE("/");
    return path_escapes_are_valid(head->path);
}

static enum h1_fault
parse_request_line(struct slice line, struct h1_head *head)
{
    ptrdiff_t space = slice_find_byte(line, ' ');
    if (space <= 0)
        return H1_FAULT_MALFORMED;
    head->method = slice_first(line, (size_t)space);
    struct slice rest = slice_from(line, (size_t)space + 1);
    space = slice_find_byte(rest, ' ');
    if (space <= 0 || !chars_are(head->method, CHAR_TOKEN))
        return H1_FAULT_MALFORMED;
    enum h1_fault fault = parse_version(slice_from(rest, (size_t)space + 1), &head->version_minor);
    if (fault == H1_FAULT_MALFORMED || !parse_target(slice_first(rest, (size_t)space), head))
        return H1_FAULT_MALFORMED;
    return fault;
}

/* --- header lines ------------------------------------------------------------------------------*/

struct slice
h1_trim_blanks(struct slice s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = slice_of(s.data + 1, s.len - 1);
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool
h1_parse_header(struct slice line, struct http_header *ret_header)
{
    size_t len = 0;
    while (len < line.len && char_is(line.data[len], CHAR_TOKEN))
        len++;
    if (len == 0 || len == line.len || line.data[len] != ':')
        return false; /* a folded line begins with a blank and fails here as well */
    ret_header->name = slice_first(line, len);
    ret_header->value = h1_trim_blanks(slice_from(line, len + 1));
    return chars_are_value(ret_header->value);
}

void
h1_note_connection(struct slice value, bool *says_close, bool *says_keep_alive)
{
    struct slice option;
    while (slice_split(&value, ',', &option)) {
        option = h1_trim_blanks(option);
        *says_close |= slice_eq_nocase(option, SLICE("close"));
        *says_keep_alive |= slice_eq_nocase(option, SLICE("keep-alive"));
    }
}

static enum h1_fault
note_length(struct slice value, struct h1_head *head, struct framing *framing)
{
    uint64_t length;
    if (++framing->lengths > 1 || !slice_to_u64(value, &length) || length > INT64_MAX)
        return H1_FAULT_MALFORMED;
    head->content_length = (int64_t)length;
    return H1_FAULT_NONE;
}

static enum h1_fault
note_coding(struct slice value, struct h1_head *head, struct framing *framing)
{
    if (++framing->codings > 1 || !slice_eq_nocase(value, SLICE("chunked")))
        return H1_FAULT_CODING;
    head->is_chunked = true;
    return H1_FAULT_NONE;
}

/* Looks at the few headers the connection itself must understand, told apart by length. */
static enum h1_fault
note_header(const struct http_header *h, struct h1_head *head, struct framing *framing)
{
    switch (h->name.len) {
    case 4:
        if (slice_eq_nocase(h->name, SLICE("host")) && ++framing->hosts > 0)
            framing->host = h->value;
        break;
    case 6:
        if (!slice_eq_nocase(h->name, SLICE("expect")) || head->version_minor == 0)
            break;
        if (!slice_eq_nocase(h->value, SLICE("100-continue")))
            return H1_FAULT_EXPECTATION;
        head->expects_continue = true;
        break;
    case 10:
        if (slice_eq_nocase(h->name, SLICE("connection")))
            h1_note_connection(h->value, &framing->says_close, &framing->says_keep_alive);
        break;
    case 14:
        if (slice_eq_nocase(h->name, SLICE("content-length")))
            return note_length(h->value, head, framing);
        break;
    case 17:
        if (slice_eq_nocase(h->name, SLICE("transfer-encoding")))
            return note_coding(h->value, head, framing);
        break;
    default:
        break;
    }
    return H1_FAULT_NONE;
}

/* The gravest fault is answered, not the first: an unknown coding beside a Content-Length is
 * malformed whatever their order. */
static enum h1_fault
graver(enum h1_fault a, enum h1_fault b)
{
    if (a == H1_FAULT_NONE || (b == H1_FAULT_MALFORMED && a != H1_FAULT_TOO_LARGE))
        return b;
    return a;
}

static enum h1_fault
parse_headers(struct slice rest, struct h1_head *head, struct framing *framing)
{
    enum h1_fault fault = H1_FAULT_NONE;
    struct slice line;
    while ((line = h1_take_line(&rest)).len > 0) {
        if (head->header_count == LIMIT_http_headers_max)
            return H1_FAULT_TOO_LARGE;
        struct http_header *h = &head->headers[head->header_count];
        if (!h1_parse_header(line, h))
            return H1_FAULT_MALFORMED;
        head->header_count++;
        fault = graver(fault, note_header(h, head, framing));
    }
    return fault;
}

/* --- the whole ---------------------------------------------------------------------------------*/

static enum h1_fault
check_host(struct h1_head *head, const struct framing *framing)
{
    if (framing->hosts > 1)
        return H1_FAULT_MALFORMED;
    if (framing->hosts == 0 && head->version_minor > 0)
        return H1_FAULT_NO_HOST;
    if (!chars_are(framing->host, CHAR_HOST))
        return H1_FAULT_BAD_HOST;
    if (head->authority.len == 0)
        head->authority = framing->host;
    return H1_FAULT_NONE;
}

enum h1_fault
h1_head_parse(struct slice bytes, struct h1_head *ret_head)
{
    struct h1_head *head = ret_head;
    head->authority = SLICE_EMPTY;
    head->content_length = 0;
    head->is_chunked = head->expects_continue = false;
    head->header_count = 0;
    struct framing framing = { .host = SLICE_EMPTY };
    struct slice rest = slice_from(bytes, leading_blank(bytes));
    enum h1_fault fault = parse_request_line(h1_take_line(&rest), head);
    if (fault != H1_FAULT_NONE)
        return fault;
    fault = parse_headers(rest, head, &framing);
    if (framing.codings > 0 && (framing.lengths > 0 || head->version_minor == 0))
        return H1_FAULT_MALFORMED;
    fault = graver(fault, check_host(head, &framing));
    if (fault != H1_FAULT_NONE)
        return fault;
    if (head->is_chunked)
        head->content_length = HTTP_LENGTH_UNKNOWN;
    if (head->content_length == 0)
        head->expects_continue = false;
    head->keeps_alive = !framing.says_close && (head->version_minor > 0 || framing.says_keep_alive);
    return H1_FAULT_NONE;
}
