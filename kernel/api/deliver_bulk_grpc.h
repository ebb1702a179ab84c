/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of events on its way to a gRPC application: OnBulkTopicEvent. */
#ifndef API_DELIVER_BULK_GRPC_H
#define API_DELIVER_BULK_GRPC_H

#include "api/cloudevent.h"
#include "api/deliver_bulk.h"
#include "http/grpc.h"

struct bulk_event {
    struct slice entry_id;
    const struct cloudevent *event;
    struct slice raw; /* bytes of a message that is no event; data NULL: it is one */
    const struct pair *metadata;
    size_t metadata_count;
};

/* Suspends. OK: the application answered with that code, and `take` was called for each status. */
err_t deliver_bulk_grpc(struct request *rq, const struct topic_spec *spec, struct slice path,
                        const struct bulk_event *events, size_t count, bulk_status_fn *take,
                        void *arg, enum grpc_code *ret_code) WARN_UNUSED;

#endif
