/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether another application may call this one: the access control of the Configuration, asked by
 * the sidecar of the application that is called, once a call, with the very path that the
 * application then gets. Nothing here changes or decodes a path, so that list and application
 * cannot see two of them.
 */
#ifndef API_ACCESS_H
#define API_ACCESS_H

#include <stdbool.h>

#include "base/slice.h"

struct access_policy;

struct access_question {
    struct slice caller_id; /* proven SPIFFE id; empty: who calls is not known */
    struct slice verb;      /* of HTTP, in any case; not looked at for gRPC */
    struct slice path;      /* cleaned, begins with '/' */
    bool is_http;
};

/* Any thread. Without a policy everything is allowed. */
bool access_is_allowed(const struct access_policy *policy, const struct access_question *question);

#endif
