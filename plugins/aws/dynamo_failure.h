/* SPDX-License-Identifier: Apache-2.0 */
/* What a refusal of DynamoDB means. Pure; failures live as long as the call. */
#ifndef AWS_PLUGIN_DYNAMO_FAILURE_H
#define AWS_PLUGIN_DYNAMO_FAILURE_H

#include <remora_plugin.h>

#include "service.h"

/* NULL: it went well. */
const struct remora_failure *
dynamo_failure(remora_call *call, const struct service_reply *reply, bool is_write);
/* Of the plugin's own. */
const struct remora_failure *
dynamo_failure_new(remora_call *call, enum remora_code code, enum remora_effect effect,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
const struct remora_failure *dynamo_failure_mismatch(remora_call *call);
/* The caller gives up while a question is on its way. */
const struct remora_failure *dynamo_failure_given_up(remora_call *call, bool may_be_done);

#endif
