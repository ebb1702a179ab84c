/* SPDX-License-Identifier: Apache-2.0 */
/* Building blocks by the names of their errors; see error_category.h. */
#include "telemetry/error_category.h"

struct slice
error_category(err_t err)
{
    /* Rows of err.def are named after their building block, even where they share a code. */
    static const char *const categories[][2] = {
        { "ERR_STATE", "state" },
        { "ERR_PUBSUB", "pubsub" },
        { "ERR_PUBLISH", "pubsub" },
        { "ERR_TOPIC", "pubsub" },
        { "ERR_SECRET", "secret" },
        { "ERR_PERMISSION_DENIED", "secret" },
        { "ERR_DIRECT_INVOKE", "service-invocation" },
        { "ERR_INVOKE_OUTPUT", "binding" },
        { "ERR_BINDING", "binding" },
        { "ERR_WORKFLOW", "workflow" },
        { "ERR_ACTOR", "actor" },
        { "ERR_CRYPTO", "crypto" },
        { "ERR_CONFIGURATION", "configuration" },
        { "ERR_CONVERSATION", "conversation" },
        { "ERR_LOCK", "lock" },
        { "ERR_TRY_LOCK", "lock" },
        { "ERR_UNLOCK", "lock" },
        { "ERR_JOB", "job" },
        { "ERR_HEALTH", "health" },
        { "ERR_OUTBOUND_HEALTH", "health" },
    };
    struct slice name = slice_str(err_info(err)->name);
    for (size_t i = 0; i < ARRAY_LEN(categories); i++)
        if (slice_has_prefix(name, slice_str(categories[i][0])))
            return slice_str(categories[i][1]);
    return SLICE("common");
}
