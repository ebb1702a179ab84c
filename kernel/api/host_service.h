/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins may ask of the kernel, as far as their manifest grants it. */
#ifndef API_HOST_SERVICE_H
#define API_HOST_SERVICE_H

#include "bus/link.h"

/* For struct link_events: serves one call of a plugin and replies. */
void host_service(struct task *t, struct host_call *call);

#endif
