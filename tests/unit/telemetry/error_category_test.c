/* SPDX-License-Identifier: Apache-2.0 */
/* Categories of errors. */
#include "telemetry/error_category.h"

#include "test.h"

TEST(errors_belong_to_their_building_block)
{
    CHECK_SLICE_IS(error_category(ERR_STATE_GET), "state");
    CHECK_SLICE_IS(error_category(ERR_STATE_ILLEGAL_KEY), "state");
    CHECK_SLICE_IS(error_category(ERR_MALFORMED_REQUEST), "common");
    CHECK_SLICE_IS(error_category(ERR_DIRECT_INVOKE_NO_TARGET), "service-invocation");
    CHECK_SLICE_IS(error_category(ERR_HEALTH_NOT_READY), "health");
    CHECK_SLICE_IS(error_category(ERR_OUTBOUND_HEALTH_NOT_READY), "health");
    CHECK_SLICE_IS(error_category(ERR_LOCK_STORE_NOT_FOUND), "lock");
    CHECK_SLICE_IS(error_category(ERR_TRY_LOCK), "lock");
    CHECK_SLICE_IS(error_category(ERR_UNLOCK), "lock");
}
