/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query API of state stores: the document is taken apart as far as the protocol wants it, which
 * is into the members of its filter. What does not begin with the caller's prefix is not told.
 */
#ifndef BRIDGE_QUERY_H
#define BRIDGE_QUERY_H

#include <remora_plugin.h>

void state_query(remora_call *call, void *self, struct remora_slice query,
                 struct remora_slice key_prefix, const struct remora_pair *metadata,
                 size_t metadata_count);

#endif
