/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP middleware that needs nothing of the world: the table of its types. */
#include "types.h"

const struct remora_pair plain_text = { { "Content-Type", 12 },
                                        { "text/plain; charset=utf-8", 25 } };

static const struct remora_middleware_ops ratelimit = { .handle = ratelimit_handle };
static const struct remora_middleware_ops routeralias = { .handle = routeralias_handle };
static const struct remora_middleware_ops routerchecker = { .handle = routerchecker_handle };
static const struct remora_middleware_ops uppercase = { .handle = uppercase_handle };

static const struct remora_component_type types[] = {
    { .type = "middleware.http.ratelimit",
      .versions = "v1",
      .init = ratelimit_init,
      .close = ratelimit_close,
      .middleware = &ratelimit },
    { .type = "middleware.http.routeralias",
      .versions = "v1",
      .init = routeralias_init,
      .close = routeralias_close,
      .middleware = &routeralias },
    { .type = "middleware.http.routerchecker",
      .versions = "v1",
      .init = routerchecker_init,
      .close = routerchecker_close,
      .middleware = &routerchecker },
    { .type = "middleware.http.uppercase",
      .versions = "v1",
      .init = uppercase_init,
      .middleware = &uppercase },
};

static const struct remora_plugin plugin = {
    .name = "middleware",
    .version = "1.0.0",
    .types = types,
    .type_count = sizeof types / sizeof types[0],
};

int
main(int argc, char **argv)
{
    return remora_plugin_main(&plugin, argc, argv);
}
