/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes in: a stream of messages or events, each of which is acknowledged by its id in the
 * same stream. A stream that ends is made anew, and what was not acknowledged in the old one is the
 * component's to give again.
 */
#ifndef BRIDGE_STREAM_H
#define BRIDGE_STREAM_H

#include "remote.h"

/* One that is with the application. */
struct flight;

struct stream_kind {
    const char *method;
    /* Decodes a message and hands it over; false: it is malformed. `flight` is to be given back
     * with flight_land(); its id is to be set with flight_set_id(). */
    bool (*hand_over)(struct stream *stream, struct flight *flight, struct remora_slice message);
};

/* `first` is what is sent when it opens; with NULL data nothing is. Copied. */
void stream_open(struct remote *remote, const struct stream_kind *kind, uint64_t id,
                 struct remora_slice first, uint32_t window);
/* Nothing more is handed over; answers the call when all is acknowledged. */
void stream_stop(struct remote *remote, uint64_t id, remora_call *call);
/* All of them. `call` NULL: nobody waits. */
void streams_stop(struct remote *remote, remora_call *call);
/* The component is there (again). */
void streams_open(struct remote *remote);
/* At once; what is still with the application is nobody's. */
void streams_free(struct remote *remote);

uint64_t stream_id(const struct stream *stream);
/* What was sent first. */
struct remora_slice stream_first(const struct stream *stream);
void flight_set_id(struct flight *flight, const char *id);
const char *flight_id(const struct flight *flight);
/* It is done; the acknowledgement goes out if its stream is still there. */
void flight_land(struct flight *flight, struct remora_slice acknowledgement);

#endif
