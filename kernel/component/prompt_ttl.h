/* SPDX-License-Identifier: Apache-2.0 */
/* How long the answers of a conversation component may be given again: `responseCacheTTL`, or, as
 * it was called before, `cacheTTL`. */
#ifndef COMPONENT_PROMPT_TTL_H
#define COMPONENT_PROMPT_TTL_H

#include <stdint.h>

#include "config/component.h"

/* Milliseconds; 0: not at all, also where what is said is no duration, which is logged. */
uint64_t prompt_ttl_read(const struct component_spec *spec);

#endif
