/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC from the asking side: one message there, one back, with deadline, metadata and status. What
 * a server of another protocol, a broken connection or nobody at all amounts to is a status too, as
 * gRPC clients have it. Streaming calls are client.h with the pieces of this.
 */
#ifndef HTTP_GRPC_CLIENT_H
#define HTTP_GRPC_CLIENT_H

#include "http/client.h"

struct grpc_question {
    struct slice path; /* "/package.Service/Method" */
    struct slice message;
    const struct http_header *metadata; /* values as they go on the wire */
    size_t metadata_count;
    size_t answer_bytes_max;
};

/* In the task's arena. */
struct grpc_answer {
    enum grpc_code code;
    struct slice text;    /* of the status, decoded */
    struct slice details; /* packed google.rpc.Status; empty: none */
    bool is_peers;        /* the status is the peer's own; else it is what became of the call */
    bool was_sent;        /* the peer can have seen the request */
    struct slice message; /* with GRPC_OK */
    const struct http_header *headers; /* metadata, what belongs to the protocol included */
    size_t header_count;
    const struct http_header *trailers;
    size_t trailer_count;
};

/* Suspends; the deadline is the task's and is told to the peer. OK when the status is the peer's,
 * whichever it is; else the error of client.h. `ret_answer` is filled in either way. */
err_t grpc_ask(struct task *t, struct client *client, const struct grpc_question *question,
               struct grpc_answer *ret_answer);

/* The value of grpc-timeout for so many milliseconds. */
struct slice grpc_timeout_text(struct arena *arena, uint64_t ms);
/* What grpc_message_encode() made, as it was before; what is no escape stays. */
struct slice grpc_message_decode(struct arena *arena, struct slice text);
/* The status that these headers name; false: they name none. */
bool grpc_status_of(const struct http_header *headers, size_t count,
                    enum grpc_code *ret_code) WARN_UNUSED;
/* What the end of a call of this task without a status amounts to, and its words. */
enum grpc_code
grpc_failure(struct task *t, const struct client_call *call, err_t err, struct slice *ret_text);
enum grpc_code grpc_code_of_http(int status);
/* Headers that gRPC itself has put there, as opposed to metadata. */
bool grpc_is_reserved(struct slice name);

/* Whether what came after client_head() is gRPC's; else grpc_code_of_http() says what it means. */
bool grpc_is_answer(const struct client_call *call);

#endif
