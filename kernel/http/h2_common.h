/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both sides of HTTP/2 do alike with libnghttp2: budgets, frames on their way to a socket.
 * For h2_*.c only.
 */
#ifndef HTTP_H2_COMMON_H
#define HTTP_H2_COMMON_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "async/stream.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"

/* Output of a connection: what is flushed at once, and one more frame or a head with all of its
 * CONTINUATIONs. */
enum { H2_OUT_BYTES_MAX = LIMIT_h2_flush_bytes + LIMIT_h2_frame_bytes + 80 * 1024 };

/* A token bucket: so many at once, and in the long run so many a second. */
struct h2_budget {
    uint32_t left;
    uint64_t since_ms;
};

void h2_budget_refill(struct h2_budget *budget, uint32_t burst, uint32_t per_s);
/* Takes one; false: it is empty. */
bool h2_budget_take(struct h2_budget *budget, uint32_t burst, uint32_t per_s);

static inline struct slice
h2_slice(const uint8_t *data, size_t len)
{
    return slice_of((const char *)data, len);
}

/* What the session has to say, as far as LIMIT_h2_flush_bytes. False: it is beyond repair. */
bool h2_make_frames(nghttp2_session *session, struct stream *to);
/* One DATA frame of a NO_COPY source. Where `payload` is all that `owner` holds, its memory goes to
 * the stream and it is empty; NULL: the bytes are copied. NGHTTP2_ERR_WOULDBLOCK: there is enough
 * to send for now. */
int h2_put_data(struct stream *to, const nghttp2_frame *frame, const uint8_t *head,
                struct slice payload, struct buf *owner);
/* For libnghttp2: frames larger than the protocol's 16 KiB where the peer takes them, since each
 * costs the same. */
ssize_t
h2_frame_length(nghttp2_session *session, uint8_t frame_type, int32_t id, int32_t conn_window,
                int32_t stream_window, uint32_t frame_bytes_max, void *arg);

#endif
