/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of the gRPC calls that are made, as grpc.io names it. A method is
 * "/package.Service/Method". */
#ifndef TELEMETRY_RPC_METRICS_H
#define TELEMETRY_RPC_METRICS_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct rpc_count {
    struct slice method;
    enum grpc_code code;
    uint64_t sent_bytes; /* of messages */
    uint64_t received_bytes;
    uint64_t took_ns;
};

void rpc_count_client(const struct rpc_count *count);
/* A health probe of an application: counted apart, so that it does not hide what is asked of it. */
void rpc_count_probe(enum grpc_code code, uint64_t took_ns);

#endif
