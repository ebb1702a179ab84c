/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes resource quantities ("4Mi", "512k", "1.5Gi", "1e6"), the notation of sizes on the
 * command line. Pure.
 */
#ifndef CONFIG_QUANTITY_H
#define CONFIG_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The value rounded up to a whole number, saturated at the ends of int64_t. On failure *ret_error
 * is a constant text, Kubernetes' own. */
bool quantity_parse(struct slice text, int64_t *ret_value, const char **ret_error) WARN_UNUSED;

#endif
