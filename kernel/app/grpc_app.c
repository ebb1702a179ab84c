/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the sidecar itself to a gRPC application; see grpc_app.h. */
#include "app/grpc_app.h"

err_t
app_grpc_probe(struct task *t, struct app_channel *channel)
{
    (void)t;
    (void)channel;
    return ERR_API_UNIMPLEMENTED;
}
