/* SPDX-License-Identifier: Apache-2.0 */
/* The `category` label of an error, by its row of err.def. Pure. */
#ifndef TELEMETRY_ERROR_CATEGORY_H
#define TELEMETRY_ERROR_CATEGORY_H

#include "base/err.h"

struct slice error_category(err_t err);

#endif
