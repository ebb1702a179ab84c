/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals; see dynamo_failure.h. */
#include "dynamo_failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 800 };

const struct remora_failure *
dynamo_failure_new(remora_call *call, enum remora_code code, enum remora_effect effect,
                   const char *format, ...)
{
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    char *message = remora_call_alloc(call, MESSAGE_BYTES);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    *failure = (struct remora_failure){ .code = code, .effect = effect, .message = message };
    return failure;
}

const struct remora_failure *
dynamo_failure_mismatch(remora_call *call)
{
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    *failure = (struct remora_failure){
        .code = REMORA_ABORTED,
        .effect = REMORA_EFFECT_FAILED,
        .reason = REMORA_REASON_ETAG_MISMATCH,
        .message = "possible etag mismatch. error from state store: "
                   "ConditionalCheckFailedException: The conditional request failed",
    };
    return failure;
}

const struct remora_failure *
dynamo_failure_given_up(remora_call *call, bool may_be_done)
{
    const bool is_late = remora_call_time_left_ms(call) == 0;
    return dynamo_failure_new(call, is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED,
                              may_be_done ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_NOT_SENT,
                              "dynamodb error: %s",
                              is_late ? "context deadline exceeded" : "context canceled");
}

static const struct meaning {
    const char *code;
    enum remora_code means;
    enum remora_effect effect;
} meanings[] = {
    { "ProvisionedThroughputExceededException", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "ProvisionedThroughputExceeded", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "ThrottlingException", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "ThrottlingError", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "RequestLimitExceeded", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    { "LimitExceededException", REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
    /* Another transaction has the item: soon it has not. */
    { "TransactionConflictException", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "TransactionConflict", REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT },
    { "ResourceNotFoundException", REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED },
    { "ValidationException", REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
    { "ValidationError", REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
    { "ItemCollectionSizeLimitExceededException", REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
    { "ItemCollectionSizeLimitExceeded", REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
    { "AccessDeniedException", REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
    { "UnrecognizedClientException", REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
    { "InvalidSignatureException", REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
    { "MissingAuthenticationTokenException", REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
    { "ExpiredTokenException", REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
};

/* What a transaction was cancelled for: of the first operation that is to blame. */
static const char *
reason_of(const cJSON *tree)
{
    const cJSON *reason;
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(tree, "CancellationReasons"))
    {
        const char *code = json_text(reason, "Code");
        if (code != NULL && strcmp(code, "None") != 0)
            return code;
    }
    return "";
}

/* Of one without a code, and of those that are not known: 4xx are decisions. */
static const struct remora_failure *
by_status(remora_call *call, const struct service_reply *reply, bool is_write)
{
    const bool is_decision = reply->status / 100 == 4;
    const enum remora_effect effect = is_decision || !is_write ? REMORA_EFFECT_FAILED
                                      : reply->status == 0 && !reply->was_sent
                                          ? REMORA_EFFECT_NOT_SENT
                                          : REMORA_EFFECT_UNKNOWN;
    const bool is_late = reply->status == 0 && remora_call_time_left_ms(call) == 0;
    const enum remora_code code = is_late ? REMORA_DEADLINE_EXCEEDED
                                  : reply->status == 0 || reply->status >= 500 ? REMORA_UNAVAILABLE
                                  : reply->status == 401 || reply->status == 403
                                      ? REMORA_PERMISSION_DENIED
                                  : reply->status == 429 ? REMORA_RESOURCE_EXHAUSTED
                                                         : REMORA_INTERNAL;
    return dynamo_failure_new(call, code, effect, "%s", reply->words);
}

const struct remora_failure *
dynamo_failure(remora_call *call, const struct service_reply *reply, bool is_write)
{
    if (reply->words == NULL)
        return NULL;
    const bool is_cancelled = strcmp(reply->code, "TransactionCanceledException") == 0;
    const char *code = is_cancelled ? reason_of(reply->tree) : reply->code;
    if (strcmp(code, "ConditionalCheckFailedException") == 0 ||
        strcmp(code, "ConditionalCheckFailed") == 0)
        return dynamo_failure_mismatch(call);
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (reply->status / 100 == 4 && strcmp(code, meanings[i].code) == 0)
            return dynamo_failure_new(call, meanings[i].means, meanings[i].effect, "%s",
                                      reply->words);
    return by_status(call, reply, is_write);
}
