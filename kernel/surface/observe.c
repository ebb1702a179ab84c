/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes and lines of the log of calls; see observe.h. */
#include "surface/observe.h"

#include "base/log.h"
#include "telemetry/error_category.h"

struct slice
observe_number(char text[OBSERVE_NUMBER_BYTES], uint64_t value)
{
    char *at = text + OBSERVE_NUMBER_BYTES;
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return slice_of(at, (size_t)(text + OBSERVE_NUMBER_BYTES - at));
}

void
observe_error(const struct request *rq)
{
    if (!settings_of(rq->task)->records_error_codes)
        return;
    const struct slice labels[] = { error_category(rq->error.err),
                                    slice_str(err_info(rq->error.err)->code) };
    metrics_record(metrics_series(METRICS_error_code, labels), 0);
}

void
observe_log(const struct http_exchange *x, const struct observed_call *call)
{
    char code[OBSERVE_NUMBER_BYTES], duration[OBSERVE_NUMBER_BYTES], size[OBSERVE_NUMBER_BYTES];
    struct slice agent = http_header_get(x, SLICE("User-Agent"));
    struct log_field fields[5] = {
        { .name = "code", .text = observe_number(code, call->code), .is_number = true },
        { .name = "duration",
          .text = observe_number(duration, call->took_ns / 1000000u),
          .is_number = true },
        { .name = "method", .text = call->method },
    };
    size_t count = 3;
    if (call->has_size)
        fields[count++] = (struct log_field){ .name = "size",
                                              .text = observe_number(size, call->size),
                                              .is_number = true };
    if (agent.len > 0)
        fields[count++] = (struct log_field){ .name = "useragent", .text = agent };
    log_write_fields(LOG_INFO, call->scope, call->words, fields, count);
}
