/* SPDX-License-Identifier: Apache-2.0 */
/* middleware.http.routeralias: paths that stand for others. */
#include "routes.h"
#include "types.h"

/* Before there was `routes`, each item of the metadata was a route. */
static bool
read_pairs(struct routes *routes, const struct remora_config *config, char *why)
{
    bool ok = true;
    for (size_t i = 0; ok && i < config->metadata_count; i++)
        if (config->metadata[i].name.len > 0 && config->metadata[i].name.data[0] == '/')
            ok = routes_add(routes, config->metadata[i].name, config->metadata[i].value, why);
    return ok;
}

void
routeralias_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice text;
    char why[ROUTES_WORDS_BYTES];
    struct routes *routes = routes_new();
    bool ok = remora_metadata_get(config->metadata, config->metadata_count, "routes", &text) &&
                      text.len > 0
                  ? routes_read(routes, text, why)
                  : read_pairs(routes, config, why);
    if (ok) {
        remora_reply_init(call, routes, 0, 0);
        return;
    }
    routes_free(routes);
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "failed to parse routes: %s", why);
}

void
routeralias_close(void *self)
{
    routes_free(self);
}

void
routeralias_handle(remora_call *call, void *self, const struct remora_http_request *request)
{
    struct remora_http_verdict verdict = { .sets_query = true };
    if (routes_apply(self, remora_call_alloc, call, request->path, request->query, &verdict.path,
                     &verdict.query))
        remora_middleware_reply(call, &verdict);
    else
        remora_reply_ok(call);
}
