/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in words and with its effect. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES_MAX = 3072 }; /* the sidecar takes 4,096 */

struct remora_failure *
failure_new(remora_call *call, enum remora_code code, enum remora_effect effect, const char *format,
            ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t bytes = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    char *message = remora_call_alloc(call, bytes + 1);
    memcpy(message, text, bytes);
    message[bytes] = '\0';
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    *failure = (struct remora_failure){ .code = code, .effect = effect, .message = message };
    return failure;
}

struct remora_failure *
failure_busy(remora_call *call)
{
    return failure_new(call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT,
                       "too many commands are waiting for redis");
}

/* The server did not run the command and says that another moment, or another server, may. */
static bool
is_passing(const struct resp_value *error)
{
    static const char *const codes[] = { "LOADING",     "READONLY", "MASTERDOWN",
                                         "CLUSTERDOWN", "TRYAGAIN", "BUSY" };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (resp_is_error(error, codes[i]))
            return true;
    return false;
}

struct remora_failure *
failure_of_result(remora_call *call, const struct conn_result *result, bool is_write,
                  const char *prefix)
{
    const struct resp_value *value = result->value;
    if (value == NULL)
        return failure_new(call, REMORA_UNAVAILABLE,
                           !result->sent ? REMORA_EFFECT_NOT_SENT
                           : is_write    ? REMORA_EFFECT_UNKNOWN
                                         : REMORA_EFFECT_FAILED,
                           "%s%s", prefix, result->why);
    if (value->type != RESP_ERROR)
        return NULL;
    struct remora_slice text = value->text;
    int shown = text.len > 2048 ? 2048 : (int)text.len;
    bool passes = is_passing(value);
    return failure_new(call, passes ? REMORA_UNAVAILABLE : REMORA_INTERNAL,
                       passes ? REMORA_EFFECT_NOT_SENT : REMORA_EFFECT_FAILED, "%s%.*s", prefix,
                       shown, text.data);
}

bool
failure_is_replica(const struct conn_result *result)
{
    return result->value != NULL && resp_is_error(result->value, "READONLY");
}
