/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may call what of the application: `spec.accessControl` of the Configuration, read into a form
 * in which api/access.c finds the rule of a call by two look-ups and one walk down the path.
 * Constant once read; any thread.
 */
#ifndef CONFIG_ACCESS_CONTROL_H
#define CONFIG_ACCESS_CONTROL_H

#include "base/arena.h"
#include "base/err.h"
#include "config/node.h"

struct access_policy;

struct access_control {
    struct slice trust_domain;          /* ours; "public" if none is named */
    const struct access_policy *policy; /* NULL: every call is allowed */
};

#endif
