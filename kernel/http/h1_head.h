/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads (RFC 9112 sections 2 to 6): bytes → a checked head, or why it is refused. Pure.
 *
 * Accepted as leniently as the reference runtime: LF without CR at the end of a line, one empty
 * line before the request line, any method that is a token, bytes beyond ASCII in target and
 * values. Refused, because two readers could disagree on where a request ends or what it asks for:
 * Content-Length beside Transfer-Encoding, more than one Content-Length even if equal, one that is
 * not plain digits, any coding but a single "chunked", Transfer-Encoding in HTTP/1.0, folded
 * lines, blanks before the colon, control bytes (CR and NUL included), more than one Host, user
 * information in an absolute target, bad escapes in the path. Where the reference is more lenient
 * (equal Content-Lengths, folded lines, both length headers), this is stricter on purpose.
 */
#ifndef HTTP_H1_HEAD_H
#define HTTP_H1_HEAD_H

#include "base/limits.h"
#include "http/http.h"

/* Why a head is refused; each has its answer in h1_fault_answer(). */
enum h1_fault {
    H1_FAULT_NONE,
    H1_FAULT_MALFORMED,
    H1_FAULT_NO_HOST,
    H1_FAULT_BAD_HOST,
    H1_FAULT_VERSION,
    H1_FAULT_CODING,
    H1_FAULT_TOO_LARGE,
    H1_FAULT_EXPECTATION,
    H1_FAULT_OVERLOADED, /* not of a head: no task is to be had */
};

/* The whole answer after "HTTP/1.1 ": status line, headers, body (of EXPECTATION without Date and
 * the empty line). The connection closes after it.
 */
struct slice h1_fault_answer(enum h1_fault fault);

/* Slices point into the parsed bytes. */
struct h1_head {
    struct slice method;
    struct slice target;
    struct slice path;
    struct slice query;
    struct slice authority;
    unsigned version_minor; /* 0 or 1; a later 1.x counts as 1 */
    int64_t content_length; /* HTTP_LENGTH_UNKNOWN when chunked */
    bool is_chunked;
    bool keeps_alive;
    bool expects_continue;
    size_t header_count;
    struct http_header headers[LIMIT_http_headers_max];
};

/* Length of the head that `bytes` begin with, its empty line included; 0 if it has not ended yet.
 * `scanned` bytes have been looked at before. */
size_t h1_head_end(struct slice bytes, size_t scanned);
/* Whether bytes without an end could still become a head: what begins like TLS, say, never will. */
bool h1_head_may_begin(struct slice bytes);
/* `bytes` are a head as h1_head_end() found it. The struct is undefined unless NONE is returned. */
enum h1_fault h1_head_parse(struct slice bytes, struct h1_head *ret_head);

/* Shared with h1_response.c. */

/* Takes the next line without its end; every line of a head has one. */
struct slice h1_take_line(struct slice *rest);
/* Without the blanks and tabs around it. */
struct slice h1_trim_blanks(struct slice s);
/* A header line; false for one that is folded, has blanks before the colon or control bytes. */
bool h1_parse_header(struct slice line, struct http_header *ret_header);
/* What the value of a Connection header asks for. */
void h1_note_connection(struct slice value, bool *says_close, bool *says_keep_alive);

#endif
