/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of the plugin contract, `remora.plugin.v1.Frame`, by hand: it is packed and read for
 * every call, and its payload is too large to be copied twice. What is written is byte for byte
 * what a protobuf library writes; what is read may come from any of them. Pure: no sockets, no tree
 * on the heap. The typed messages inside a payload are left to protobuf-c.
 */
#ifndef BUS_FRAME_H
#define BUS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

/* The contract's `Kind`, under names short enough to read. */
enum frame_kind {
    FRAME_HELLO = 1,
    FRAME_HELLO_ACK = 2,
    FRAME_REQUEST = 3,
    FRAME_RESPONSE = 4,
    FRAME_DATA = 5,
    FRAME_END = 6,
    FRAME_CREDIT = 7,
    FRAME_CANCEL = 8,
    FRAME_EVENT = 9,
    FRAME_LOG = 10,
};

/* The strings a writer may put into an envelope; longer ones are refused by frame_append(). */
enum {
    FRAME_REQUEST_ID_MAX = 16,
    FRAME_TRACEPARENT_MAX = 64,
    FRAME_TRACESTATE_MAX = 512,
    FRAME_STATUS_MESSAGE_MAX = 4096,
    FRAME_STATUS_REASON_MAX = 64,
    /* No envelope is longer than this without its payload, so this much payload always fits. */
    FRAME_OVERHEAD_MAX = 5 * 1024,
    FRAME_PAYLOAD_MAX = LIMIT_frame_bytes_max - FRAME_OVERHEAD_MAX,
};

struct frame_status {
    uint32_t code; /* enum grpc_code; a peer may send others */
    struct slice message;
    struct slice reason;
    uint32_t effect; /* the contract's `Effect` */
};

/* Fields as in plugin.proto. All slices are borrowed. */
struct frame {
    uint32_t kind; /* enum frame_kind; a peer may send others */
    uint32_t epoch;
    uint64_t call;
    uint32_t method;
    uint32_t component;
    uint64_t timeout_ms;
    struct slice request_id;
    struct slice traceparent;
    struct slice tracestate;
    uint32_t depth;
    uint32_t message_bytes;
    uint64_t payload_bytes;
    bool open_ended;
    bool has_status;
    struct slice payload;
    uint64_t credit_bytes;
    struct frame_status status;
};

/* Appends the SP header and the frame. With `part_count` > 0 the payload is the parts one after
 * another and frame->payload is ignored. False, and `out` as before, if the frame would exceed
 * LIMIT_frame_bytes_max, a string its limit, or `out` its maximum. */
bool frame_append(struct buf *out, const struct frame *frame, const struct slice *parts,
                  size_t part_count) WARN_UNUSED;

/* Reads one SP message. Slices of the result point into `message`, and may hold any bytes. Unknown
 * fields are skipped; the last of a repeated one counts, except that a second status is refused.
 * OK or ERR_MALFORMED. */
err_t frame_decode(struct slice message, struct frame *ret_frame) WARN_UNUSED;

#endif
