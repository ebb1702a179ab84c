/* SPDX-License-Identifier: Apache-2.0 */
/* One signed request to a service and its answer; it is sent once. Plugin thread only. */
#ifndef AWS_PLUGIN_REQUEST_H
#define AWS_PLUGIN_REQUEST_H

#include "../shared/sigv4.h"
#include "settings.h"

enum { REQUEST_HEADERS_MAX = 8, REQUEST_VERSION_BYTES = 1025 };

/* Texts are borrowed for the call of request_start(), the body until the request has ended. */
struct request_spec {
    const struct settings *settings; /* outlive it */
    const char *service;
    const char *method;
    const char *host, *path;
    const char *query; /* NULL: none */
    struct sigv4_header headers[REQUEST_HEADERS_MAX];
    size_t header_count;
    struct remora_slice body;
    size_t answer_bytes_max;
    uint64_t timeout_ms;
    bool is_secret; /* what is answered is wiped when it is done with */
};

struct answer {
    long status;       /* 0: there is none, `error` says why */
    const char *error; /* words; NULL if there is a status */
    char *body;        /* NUL-terminated; the receiver may TAKE it: free() then */
    size_t len;
    char version[REQUEST_VERSION_BYTES]; /* x-amz-version-id; empty: none */
    bool was_sent; /* some of it has left: with no answer, nobody knows what has become of it */
};

struct request;

/* `on_answer` is called once, later, unless it is ended before; the request is gone then. Without
 * keys it waits for them. NULL: it cannot be signed. */
struct request *request_start(const struct request_spec *spec,
                              void (*on_answer)(struct answer *answer, void *arg), void *arg);
/* Nothing is told then. NULL is nothing. */
void request_end(struct request *request);
/* While it is on its way: has some of it left? */
bool request_was_sent(const struct request *request);

#endif
