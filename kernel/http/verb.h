/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP methods by the numbers that invocations carry: HTTPExtension.Verb of
 * dapr.proto.common.v1. Pure. */
#ifndef HTTP_VERB_H
#define HTTP_VERB_H

#include <stdint.h>

#include "base/slice.h"

/* 0 for an empty one; those that have no number of their own count as POST. */
unsigned verb_number(struct slice verb);
/* Empty for 0 and for numbers of none. */
struct slice verb_name(uint64_t number);

#endif
