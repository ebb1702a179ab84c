/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nameresolution.mdns: finds other sidecars on the network by multicast DNS, and lets them find
 * ours, with the records of the reference runtime. The default resolver where no orchestrator is.
 */
#include <remora_plugin.h>

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "resolver.h"

static void
mdns_init(remora_call *call, const struct remora_config *config)
{
    char error[RESOLVER_ERROR_BYTES];
    const struct remora_instance *own = &config->instance;
    struct resolver *resolver = resolver_new(own, error);
    if (resolver == NULL) {
        remora_reply_error(call, REMORA_UNAVAILABLE, "%s", error);
        return;
    }
    remora_reply_init(call, resolver, 0, 0);
}

static void
mdns_start(remora_call *call, void *self)
{
    resolver_start(self);
    remora_reply_ok(call);
}

static void
mdns_quiesce(remora_call *call, void *self)
{
    resolver_stop(self);
    remora_reply_ok(call);
}

static void
mdns_close(void *self)
{
    resolver_free(self);
}

static void
mdns_resolve(remora_call *call, void *self, const struct remora_name_query *query)
{
    resolver_ask(self, call, query);
}

static const struct remora_name_ops name_ops = { .resolve = mdns_resolve };

static const struct remora_component_type types[] = {
    { .type = "nameresolution.mdns",
      .versions = "v1",
      .init = mdns_init,
      .start = mdns_start,
      .quiesce = mdns_quiesce,
      .close = mdns_close,
      .names = &name_ops },
};

/* Packet numbers and pauses should differ between sidecars; nothing hangs on more than that. */
static bool
setup(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* it exists */
    srandom((unsigned)now.tv_nsec ^ (unsigned)getpid() << 16);
    return true;
}

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "mdns",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof *types,
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
