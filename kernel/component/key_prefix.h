/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands before every key of a state store: the reference runtime's prefix strategies
 * (metadata `keyPrefix`, STATE-36 to STATE-40, X-STATE-11).
 */
#ifndef COMPONENT_KEY_PREFIX_H
#define COMPONENT_KEY_PREFIX_H

#include "base/arena.h"
#include "base/slice.h"

/* The whole prefix with its separator, in the arena. `strategy` is the metadata value (any case):
 * empty or "appid", "name", "namespace", "none", or a text that is the prefix itself. An empty
 * namespace falls back to the app id, an empty app id to no prefix. */
struct slice key_prefix(struct arena *arena, struct slice strategy, struct slice app_id,
                        struct slice namespace_, struct slice component_name);

#endif
