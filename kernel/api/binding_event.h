/* SPDX-License-Identifier: Apache-2.0 */
/* Events of input bindings on their way to the application. */
#ifndef API_BINDING_EVENT_H
#define API_BINDING_EVENT_H

#include "api/request.h"
#include "bus/link.h"

/* METHOD_HOST_BINDING_EVENT: gives the application one event, under the inbound policy of its
 * binding, does what the answer asks for, and answers with the answer's data; anything but success
 * says that the event was not handled. Suspends. */
void binding_event(struct request *rq, struct host_call *call);

#endif
