/* SPDX-License-Identifier: Apache-2.0 */
/* Constants LIMIT_name, one for each row of limits.def. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
#define LIMIT(name, value, why) LIMIT_##name = (value),
#include "base/limits.def"
#undef LIMIT
};

#endif
