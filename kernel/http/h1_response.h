/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response heads (RFC 9112 sections 4 to 6): bytes → a checked head, or why it is none. Pure.
 *
 * As strict as the parser of requests, and for the same reason: what two readers could understand
 * differently is refused (folded lines, both length headers, several lengths, control bytes, any
 * coding but a single "chunked"). Accepted leniently: LF without CR, a missing reason phrase, any
 * status of three digits from 100 on.
 */
#ifndef HTTP_H1_RESPONSE_H
#define HTTP_H1_RESPONSE_H

#include "base/limits.h"
#include "http/http.h"

/* Slices point into the parsed bytes. */
struct h1_response {
    int status;
    unsigned version_minor;
    int64_t content_length; /* HTTP_LENGTH_UNKNOWN if none was announced */
    bool is_chunked;
    bool has_no_body; /* whatever the headers say */
    bool keeps_alive; /* the connection, if the body has an end of its own */
    size_t header_count;
    struct http_header headers[LIMIT_http_headers_max];
};

/* `bytes` are a head as h1_head_end() found it, the answer to a request of that method. NULL, or
 * what is wrong with it; *ret_shown is then the part of it that is to be shown, or empty. The
 * struct is undefined unless NULL is returned. */
const char *h1_response_parse(struct slice bytes, struct slice method,
                              struct h1_response *ret_response, struct slice *ret_shown);

#endif
