/* SPDX-License-Identifier: Apache-2.0 */
/* The sidecar as others find it; see names.h. */
#include "main/names.h"

#include <unistd.h>

#include "base/log.h"
#include "config/name_resolution.h"
#include "main/host_address.h"
#include "main/runtime.h"

enum { HOST_NAME_BYTES = 256 };

bool
names_find_host(struct runtime *runtime)
{
    struct diag diag;
    char name[HOST_NAME_BYTES];
    diag_init(&diag, &runtime->arena);
    if (gethostname(name, sizeof name - 1) != 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    runtime->kernel.host_name = arena_dup(&runtime->arena, slice_str(name));
    if (host_address_find(&runtime->arena, runtime->options.host_ip, &runtime->kernel.host_address,
                          &diag) == OK)
        return true;
    log_fatal("dapr.runtime", "Fatal error from runtime: " SLICE_FMT, SLICE_ARG(diag.message));
    return false;
}

/* Where the internal port can be reached: nobody else's machine can, if it listens to its own
 * alone. */
static struct slice
reachable_address(const struct runtime *runtime)
{
    struct slice listens = runtime->options.internal_grpc_address;
    bool is_loopback = slice_has_prefix(listens, SLICE("127.")) || slice_eq(listens, SLICE("::1"));
    return is_loopback ? listens : runtime->kernel.host_address;
}

void
names_describe(struct runtime *runtime)
{
    runtime->kernel.internal_port = runtime->internal_port;
    runtime->instance = (struct host_instance){
        .host_address = reachable_address(runtime),
        .host_name = runtime->kernel.host_name,
        .internal_port = runtime->internal_port,
        .http_port = runtime->options.http_port,
        .grpc_port = runtime->options.grpc_port,
        .app_port = runtime->options.app_port,
        .pid = (uint32_t)getpid(),
    };
}

void
names_add_resolver(const struct runtime *runtime, struct host_load *load)
{
    bool is_cluster = slice_eq(runtime->options.mode, SLICE("kubernetes"));
    name_resolution_add(&load->arena, &runtime->configuration.names,
                        is_cluster ? "nameresolution.kubernetes" : "nameresolution.mdns",
                        &load->components);
}
