/* SPDX-License-Identifier: Apache-2.0 */
/* Does what an application's answer to an event asks for. */
#ifndef API_BINDING_ANSWER_H
#define API_BINDING_ANSWER_H

#include "api/binding_directive.h"
#include "api/request.h"

/* Suspends until all of it is done. What fails is logged and changes nothing about the event: the
 * application has handled it, and would only handle it twice. */
void binding_answer_obey(struct request *rq, const struct binding_directive *directive);

#endif
