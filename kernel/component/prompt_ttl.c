/* SPDX-License-Identifier: Apache-2.0 */
/* For how long answers are kept; see prompt_ttl.h. */
#include "component/prompt_ttl.h"

#include "base/log.h"
#include "config/duration.h"

#define SCOPE "dapr.runtime.processor"

uint64_t
prompt_ttl_read(const struct component_spec *spec)
{
    char error[DURATION_ERROR_BYTES];
    int64_t ns;
    const struct component_value *value = component_value(spec, SLICE("responseCacheTTL"));
    if (value == NULL)
        value = component_value(spec, SLICE("cacheTTL"));
    if (value == NULL || slice_trim(value->value).len == 0)
        return 0;
    if (duration_parse(slice_trim(value->value), &ns, error) && ns >= 0)
        return (uint64_t)ns / DURATION_MS_NS;
    log_warn(SCOPE,
             "component " SLICE_FMT " keeps no answers: responseCacheTTL is no duration like 10m",
             SLICE_ARG(spec->name));
    return 0;
}
