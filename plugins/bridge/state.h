/* SPDX-License-Identifier: Apache-2.0 */
/* State stores behind sockets. */
#ifndef BRIDGE_STATE_H
#define BRIDGE_STATE_H

#include <remora_plugin.h>

extern const struct remora_state_ops state_ops;

/* In memory of the call. */
struct remora_slice state_copy(remora_call *call, struct remora_slice bytes);

#endif
