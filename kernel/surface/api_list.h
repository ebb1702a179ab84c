/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the API the application may use, by the names that `spec.api` of a Configuration knows
 * parts of the API by. What it may not use is not there for it: over HTTP there is no such path,
 * over gRPC no such method.
 */
#ifndef SURFACE_API_LIST_H
#define SURFACE_API_LIST_H

#include <stdbool.h>

#include "api/request.h"

/* By a row's path: "v1.0/state/{store}" is version v1.0 of `state`. Health is always told. */
bool api_list_allows_path(const struct request *rq, const char *pattern);
/* Of service dapr.proto.runtime.…. A method that belongs to no known part is on no list. */
bool api_list_allows_rpc(const struct request *rq, struct slice service, struct slice method);

#endif
