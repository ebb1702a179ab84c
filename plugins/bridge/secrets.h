/* SPDX-License-Identifier: Apache-2.0 */
/* Secret stores behind sockets. */
#ifndef BRIDGE_SECRETS_H
#define BRIDGE_SECRETS_H

#include <remora_plugin.h>

extern const struct remora_secret_ops secret_ops;

#endif
