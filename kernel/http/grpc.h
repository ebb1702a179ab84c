/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC on an HTTP/2 exchange: the length-prefixed messages, timeout, metadata, compression and
 * status that the protocol puts around them. Knows nothing of what messages mean.
 *
 * A call is begun, its messages are read, an answer of any number of messages is written, and it is
 * ended once with a status. An answer whose announced bytes were not all written is cut: the client
 * sees a reset, never a short message.
 */
#ifndef HTTP_GRPC_H
#define HTTP_GRPC_H

#include "http/http.h"

enum { GRPC_METADATA_MAX = 8 };

struct grpc_call {
    struct http_exchange *x;
    struct slice service; /* package.Service */
    struct slice method;
    uint64_t timeout_ms; /* UINT64_MAX: none */
    size_t message_bytes_max;
    bool is_gzip;                                   /* messages may come compressed */
    bool answers_gzip;                              /* and are answered so */
    struct slice rest;                              /* of the body piece read last */
    bool has_ended;                                 /* the client sends no more */
    struct http_header metadata[GRPC_METADATA_MAX]; /* sent before the first message */
    size_t metadata_count;
    const struct http_header *more_metadata; /* behind it, borrowed: any number */
    size_t more_metadata_count;
    bool has_started;
    uint64_t left; /* of the message being written */
    char *held;    /* the part of it that is there, to be compressed as a whole; or NULL */
    size_t held_bytes;
    uint64_t received_bytes; /* of all messages */
    uint64_t sent_bytes;
    enum grpc_code ended_code; /* what grpc_end() was told; UNKNOWN before */
    /* Why grpc_read() failed. */
    enum grpc_code code;
    struct slice message;
};

/* Takes the call from a request's head. False: it was none, or one that cannot be served, and has
 * been answered. */
bool grpc_begin(struct http_exchange *x, size_t message_bytes_max,
                struct grpc_call *ret_call) WARN_UNUSED;

/* The value of a metadata entry as sent; data NULL if there is none. */
struct slice grpc_metadata(const struct grpc_call *call, struct slice name);

/* The next message, valid until the next read; *ret_has is false at the end. False: `code` and
 * `message` tell why. One that came in pieces, or compressed, is in the arena of the task that
 * reads. Suspends. */
bool grpc_read(struct grpc_call *call, struct slice *ret_message, bool *ret_has) WARN_UNUSED;

/* Until there is something to read, or the end of it. ERR_DEADLINE: the client is silent and the
 * server is to end; nothing is lost, and it may be called again. Suspends. */
err_t grpc_await(struct grpc_call *call) WARN_UNUSED;

/* The head alone: the messages, or a status behind it, follow when they do. */
err_t grpc_start(struct grpc_call *call) WARN_UNUSED;
/* One message of `bytes`, written in pieces; compressed if the request was. An error means that
 * there is nobody to write to any more: the client is gone, or the call has been ended because the
 * message is larger than messages may be. Suspend. */
err_t grpc_message_begin(struct grpc_call *call, uint64_t bytes) WARN_UNUSED;
err_t grpc_message_write(struct grpc_call *call, struct slice piece) WARN_UNUSED;
/* A whole message. */
err_t grpc_send(struct grpc_call *call, struct slice message) WARN_UNUSED;

/* The status. `details` is a packed google.rpc.Status or empty. */
void
grpc_end(struct grpc_call *call, enum grpc_code code, struct slice message, struct slice details);

/* "100m" and so on; false if it is malformed. Rounded up to milliseconds. */
bool grpc_timeout_parse(struct slice text, uint64_t *ret_ms) WARN_UNUSED;
/* Text for grpc-message: bytes outside printable ASCII, and the percent sign, as %XX. */
struct slice grpc_message_encode(struct arena *arena, struct slice text);

#endif
