/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call has failed, as the sidecar is told: the status of gRPC, the details that pluggable
 * state stores tell conflicts by, and the words that users of the reference know.
 */
#ifndef BRIDGE_FAILURE_H
#define BRIDGE_FAILURE_H

#include "channel.h"

/* Of `end`, which has failed; its words are in memory of the call. */
struct remora_failure failure_of(remora_call *call, const struct rpc_end *end);
/* The same, where a store may tell of a conflict. */
struct remora_failure failure_of_write(remora_call *call, const struct rpc_end *end);
/* "rpc error: code = Internal desc = …" */
void failure_words(const struct rpc_end *end, char *ret_words, size_t bytes);

#endif
