/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of requests to AWS and to what takes its signatures: Signature Version 4, with headers
 * or within a URL. Knows neither HTTP nor a clock: the caller sends what it had signed, byte for
 * byte, with the headers that come back. Any thread.
 */
#ifndef PLUGINS_SHARED_SIGV4_H
#define PLUGINS_SHARED_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum {
    SIGV4_HEADERS_MAX = 16,
    SIGV4_DATE_BYTES = sizeof "20150830T123600Z",
    SIGV4_HASH_BYTES = 65, /* hexadecimal, and a NUL */
};

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct sigv4_header {
    const char *name; /* in lower case */
    const char *value;
};

/* All is borrowed for the call. */
struct sigv4_request {
    const char *region, *service;
    const char *access_key, *secret_key;
    const char *session_token; /* NULL or empty: none */
    time_t at;

    const char *method;
    const char *host;  /* as the Host header has it: with its port, if that is not the usual one */
    const char *path;  /* as it is sent: sigv4_encode()d, without segments "." and ".." */
    const char *query; /* as it is sent, in any order; NULL: none */
    /* Further ones to be signed; the caller sends them. Not `host` and none of those below. */
    const struct sigv4_header *headers;
    size_t header_count;
    /* sigv4_hash() of the body, or SIGV4_UNSIGNED_PAYLOAD. */
    const char *payload_hash;
    /* As S3 has it: the path is not encoded once more before it is signed, and the hash of the body
     * is a header, x-amz-content-sha256. */
    bool is_s3;
};

/* What goes with the request: x-amz-date, authorization, for S3 x-amz-content-sha256 (the
 * payload_hash), and with a session token x-amz-security-token (that). */
struct sigv4_signature {
    char date[SIGV4_DATE_BYTES];
    char *authorization; /* free() */
};

/* False: there are too many headers. Aborts if memory is out. */
bool sigv4_sign(const struct sigv4_request *request, struct sigv4_signature *ret);

/* The query of a URL that may be used for so long, which has the request's in it: everything behind
 * "?", free(). The body is not signed. NULL as above. */
char *sigv4_presign(const struct sigv4_request *request, long expires_s);

/* Of a body; hexadecimal. */
void sigv4_hash(const void *data, size_t len, char ret_hash[SIGV4_HASH_BYTES]);

/* For a path (slashes stay) or a name or a value of a query: free(). */
char *sigv4_encode(const char *data, size_t len, bool is_path);

#endif
