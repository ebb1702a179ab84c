/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context of a request, whichever surface it came through. */
#ifndef SURFACE_TRACE_H
#define SURFACE_TRACE_H

#include "api/request.h"

/* Takes the client's context if it is well-formed; either may have no data. */
void trace_take(struct request *rq, struct slice parent, struct slice state);

#endif
