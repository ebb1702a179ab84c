/* SPDX-License-Identifier: Apache-2.0 */
/* What the sidecar itself asks of a gRPC application. Functions suspend. */
#ifndef APP_GRPC_APP_H
#define APP_GRPC_APP_H

#include "app/app.h"

/* AppCallbackHealthCheck/HealthCheck: OK if the application says that it is well. The task's
 * deadline is the probe's. Takes no place. */
err_t app_grpc_probe(struct task *t, struct app_channel *channel) WARN_UNUSED;

#endif
