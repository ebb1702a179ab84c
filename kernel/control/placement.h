/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sidecar's place in Dapr's placement service: it reports itself, without actor types as long
 * as it hosts none, and confirms each step of the rounds in which the service tells all sidecars of
 * the namespace who hosts what. Who does not confirm holds up all others. After its first whole
 * round a sidecar counts as connected.
 */
#ifndef CONTROL_PLACEMENT_H
#define CONTROL_PLACEMENT_H

#include "control/line.h"

struct control_config;

enum placement_operation {
    PLACEMENT_UNKNOWN = 0,
    PLACEMENT_REPORT = 1,
    PLACEMENT_LOCK = 2,
    PLACEMENT_UPDATE = 3,
    PLACEMENT_UNLOCK = 4,
};

/* PlacementOrder, without its tables. */
struct placement_order {
    enum placement_operation operation; /* PLACEMENT_UNKNOWN: none that we know */
    uint64_t version;
};

/* Where a sidecar stands in a round. */
struct placement_round {
    enum placement_operation operation; /* the last that counted */
    uint64_t version;
    bool is_open; /* between lock and unlock: it may last only so long */
};

struct placement {
    const struct control_config *config;
    struct line line;
    size_t next;  /* address to try */
    bool is_told; /* of a failure that goes on */
    bool is_connected;
    void (*on_change)(struct placement *placement);
    void (*on_stopped)(struct placement *placement);
};

/* Worker. Nothing happens without an address. */
void placement_start(struct placement *placement, const struct control_config *config);
/* Worker. on_stopped() follows, now or later. */
void placement_stop(struct placement *placement);

/* --- for tests: pure ---------------------------------------------------------------------------*/

/* False: malformed. */
bool placement_order_unpack(struct slice bytes, struct placement_order *ret_order) WARN_UNUSED;
/* What an order means: whether it is to be confirmed, by round->operation and version.
 * ERR_PEER_PROTOCOL: the stream is to be opened anew. */
err_t placement_round_take(struct placement_round *round, const struct placement_order *order,
                           bool *ret_confirm) WARN_UNUSED;

#endif
