/* SPDX-License-Identifier: Apache-2.0 */
/* middleware.http.routerchecker: only paths that a regular expression matches go on. */
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "types.h"

void
routerchecker_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice rule = { "", 0 };
    char why[PATTERN_WORDS_BYTES];
    (void)remora_metadata_get(config->metadata, config->metadata_count, "rule", &rule);
    struct pattern *pattern = pattern_new(rule, false, why);
    if (pattern == NULL)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "failed to compile rule regexp: %s", why);
    else
        remora_reply_init(call, pattern, 0, 0);
}

void
routerchecker_close(void *self)
{
    pattern_free(self);
}

/* "/path?query" as it came. */
static struct remora_slice
uri_of(remora_call *call, const struct remora_http_request *request)
{
    if (request->query.len == 0)
        return request->path;
    char *uri = remora_call_alloc(call, request->path.len + 1 + request->query.len);
    memcpy(uri, request->path.data, request->path.len);
    uri[request->path.len] = '?';
    memcpy(uri + request->path.len + 1, request->query.data, request->query.len);
    return (struct remora_slice){ uri, request->path.len + 1 + request->query.len };
}

void
routerchecker_handle(remora_call *call, void *self, const struct remora_http_request *request)
{
    static const char words[] = "invalid router";
    if (pattern_matches(self, uri_of(call, request), NULL)) {
        remora_reply_ok(call);
        return;
    }
    const struct remora_http_verdict refused = { .status = 400,
                                                 .headers = &plain_text,
                                                 .header_count = 1,
                                                 .body = { words, sizeof words - 1 } };
    remora_middleware_reply(call, &refused);
}
