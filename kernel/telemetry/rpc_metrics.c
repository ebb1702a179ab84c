/* SPDX-License-Identifier: Apache-2.0 */
/* Counting of gRPC calls; see rpc_metrics.h. */
#include "telemetry/rpc_metrics.h"

#include "telemetry/metrics.h"

void
rpc_count_client(const struct rpc_count *count)
{
    const struct slice labels[] = { count->method, slice_str(grpc_code_name(count->code)) };
    metrics_record(metrics_series(METRICS_grpc_client, labels), count->took_ns);
    metrics_record(metrics_series(METRICS_grpc_client_sent, labels), count->sent_bytes);
    metrics_record(metrics_series(METRICS_grpc_client_received, labels), count->received_bytes);
}

void
rpc_count_probe(enum grpc_code code, uint64_t took_ns)
{
    const struct slice label = slice_str(grpc_code_name(code));
    metrics_record(metrics_series(METRICS_grpc_healthprobe, &label), took_ns);
}
