/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trouble with the server as users are told of it. What is made here lives as long as the call.
 */
#ifndef REDIS_FAILURE_H
#define REDIS_FAILURE_H

#include "conn.h"

/* The text is cut to what the sidecar takes. */
struct remora_failure *
failure_new(remora_call *call, enum remora_code code, enum remora_effect effect, const char *format,
            ...) __attribute__((format(printf, 4, 5)));
/* Too much is queued. */
struct remora_failure *failure_busy(remora_call *call);
/* What went wrong with a command; NULL if it was answered with anything but an error. `prefix`
 * ("" or "failed to set key k: ") goes before the text. A server that says it cannot serve (it
 * loads, it is a replica) has not run the command. */
struct remora_failure *failure_of_result(remora_call *call, const struct conn_result *result,
                                         bool is_write, const char *prefix);
/* The server is a replica: after a failover its name leads elsewhere. */
bool failure_is_replica(const struct conn_result *result);

#endif
