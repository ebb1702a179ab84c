/* SPDX-License-Identifier: Apache-2.0 */
/* Counting requests made over HTTP; see http_client_metrics.h. */
#include "telemetry/http_client_metrics.h"

#include "telemetry/metrics.h"

void
http_client_count(const struct path_rules *rules, struct arena *arena,
                  const struct http_client_sample *sample)
{
    int status = sample->status == 0 ? 500 : sample->status;
    const char digits[] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
                            (char)('0' + status % 10) };
    struct slice labels[] = { method_label(rules, sample->method),
                              path_label(rules, arena, sample->path),
                              slice_of(digits, sizeof digits) };
    metrics_record(metrics_series(METRICS_http_client, labels), sample->took_ns);
    labels[2] = SLICE_EMPTY; /* what is sent is counted before there is one */
    metrics_record(metrics_series(METRICS_http_client_sent, labels), sample->sent_bytes);
    metrics_record(metrics_single(METRICS_http_client_received), sample->received_bytes);
}
