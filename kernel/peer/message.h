/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of dapr.proto.internals.v1.ServiceInvocation, by which sidecars call each other's
 * applications: written and read by hand, since every call has one each way, and in pieces, since a
 * body of any size travels as a stream of them:
 *
 *     head (InternalInvokeRequestStream.request) and the first piece, further pieces, end
 *
 * Pieces are numbered from 0. Pure; what is read points into the message or the arena.
 */
#ifndef PEER_MESSAGE_H
#define PEER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/http.h"

enum { PEER_PREFIX_BYTES = 5, PEER_PIECE_HEAD_MAX = 48 };

#define PEER_SERVICE "dapr.proto.internals.v1.ServiceInvocation"

/* InternalInvokeRequest. */
struct peer_request {
    struct slice method; /* path without the first slash */
    struct slice verb;   /* "GET"; empty: the call did not come over HTTP */
    struct slice query;
    struct slice content_type;
    struct slice type_url; /* of the data */
    struct slice data;     /* of a call that is one message */
    const struct http_header *headers;
    size_t header_count;
};

/* InternalInvokeResponse. */
struct peer_answer {
    int32_t code;         /* an HTTP status, or a gRPC code where the application speaks that */
    struct slice text;    /* of the status */
    struct slice details; /* packed google.rpc.Status in place of code and text; empty: none */
    const struct http_header *headers;
    size_t header_count;
    const struct http_header *trailers;
    size_t trailer_count;
    bool has_message;
    struct slice content_type;
    struct slice type_url;
    struct slice data;
};

/* A message of a stream: what it has of a head, and its piece. */
struct peer_part {
    bool has_head;
    struct slice head; /* packed peer_request or peer_answer */
    bool has_piece;
    struct slice piece;
    uint64_t seq;
};

/* --- writing -----------------------------------------------------------------------------------*/

/* The heads as messages of their own, in the arena. */
struct slice peer_request_pack(struct arena *arena, const struct peer_request *request);
struct slice peer_answer_pack(struct arena *arena, const struct peer_answer *answer);

/* A message of a stream around a piece that is not copied: what stands in front of it, and behind.
 */
struct peer_frame {
    char *head; /* in the arena, with a head; NULL: `small` is it */
    size_t front_len;
    char small[PEER_PIECE_HEAD_MAX];
    char back[16];
    size_t back_len;
    size_t message_bytes; /* piece included, without the prefix */
};
/* `head` may be empty. `has_prefix`: the front begins with the prefix that gRPC wants. */
void peer_frame(struct arena *arena, struct slice head, size_t bytes, uint64_t seq, bool has_prefix,
                struct peer_frame *ret_frame);
static inline struct slice
peer_frame_front(const struct peer_frame *frame)
{
    return slice_of(frame->head == NULL ? frame->small : frame->head, frame->front_len);
}
static inline struct slice
peer_frame_back(const struct peer_frame *frame)
{
    return slice_of(frame->back, frame->back_len);
}

/* --- reading -----------------------------------------------------------------------------------*/

/* False: malformed, or more headers than there may be. Keys and values are checked for nothing
 * else. */
bool peer_request_unpack(struct arena *arena, struct slice bytes,
                         struct peer_request *ret_request) WARN_UNUSED;
bool peer_answer_unpack(struct arena *arena, struct slice bytes,
                        struct peer_answer *ret_answer) WARN_UNUSED;
bool peer_part_unpack(struct slice bytes, struct peer_part *ret_part) WARN_UNUSED;

/* Takes a body of framed messages apart, whatever its pieces are. Zeroed but for the function. */
struct peer_reader {
    err_t (*read)(void *arg, struct slice *ret_piece); /* empty at the end; suspends */
    void *arg;
    size_t message_bytes_max;
    struct slice rest;
    bool has_ended;
    struct buf held; /* a message that came in several pieces */
};

/* The next message, valid until the next call; *ret_has is false at the end. Besides the errors of
 * read(): ERR_PEER_PROTOCOL for what is no framing, ERR_TOO_LARGE. Suspends. */
err_t
peer_reader_next(struct peer_reader *reader, struct slice *ret_message, bool *ret_has) WARN_UNUSED;
void peer_reader_fini(struct peer_reader *reader);

/* First of that name (ASCII case ignored), or empty. */
struct slice peer_header_get(const struct http_header *headers, size_t count, struct slice name);

#endif
