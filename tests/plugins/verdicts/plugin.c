/* SPDX-License-Identifier: Apache-2.0 */
/* Middleware that gives the verdict which the request's header X-Verdict names, sense or not. */
#include <stdlib.h>
#include <string.h>

#include "remora_plugin.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        "" literal, sizeof literal - 1                                                             \
    }
#define PAIR(name, value)                                                                          \
    {                                                                                              \
        TEXT(name), TEXT(value)                                                                    \
    }

enum { MANY = 33, LARGE = 5 * 1024 * 1024 };

static const struct remora_pair odd_name = PAIR("X Y", "1");
static const struct remora_pair split_value = PAIR("X-A", "1\r\nX-B: 2");
static const struct remora_pair empty_name = PAIR("", "1");
static const struct remora_pair good = PAIR("X-Good", "caf\xc3\xa9");
static const struct remora_slice gone = TEXT("x-verdict");

static const struct {
    const char *name;
    struct remora_http_verdict verdict;
} verdicts[] = {
    { "status 99", { .status = 99 } },
    { "status 100", { .status = 100 } },
    { "status 600", { .status = 600 } },
    { "status -1", { .status = -1 } },
    { "odd name", { .headers = &odd_name, .header_count = 1 } },
    { "split value", { .status = 200, .headers = &split_value, .header_count = 1 } },
    { "empty name", { .sets = &empty_name, .set_count = 1 } },
    { "split set", { .sets = &split_value, .set_count = 1 } },
    { "odd method", { .method = TEXT("GET /x HTTP/1.1\r\n\r\n") } },
    { "bare path", { .path = TEXT("x") } },
    { "path with a query", { .path = TEXT("/a?b") } },
    { "path with a blank", { .path = TEXT("/a b") } },
    { "split query", { .sets_query = true, .query = TEXT("a\nb") } },
    { "good",
      { .headers = &good,
        .header_count = 1,
        .sets = &good,
        .set_count = 1,
        .removes = &gone,
        .remove_count = 1,
        .method = TEXT("PUT"),
        .sets_query = true,
        .query = TEXT("q=1"),
        .sets_body = true,
        .body = TEXT("other") } },
    { "teapot", { .status = 418, .headers = &good, .header_count = 1, .body = TEXT("short") } },
};

static void
init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    remora_reply_init(call, NULL, 0, 0);
}

static bool
give_large(remora_call *call, struct remora_slice wanted)
{
    struct remora_pair many[MANY];
    for (size_t i = 0; i < MANY; i++)
        many[i] = good;
    struct remora_http_verdict verdict = { .headers = many, .header_count = MANY };
    if (remora_slice_eq(wanted, "large body")) {
        char *large = remora_call_alloc(call, LARGE);
        memset(large, 'x', LARGE);
        verdict = (struct remora_http_verdict){ .status = 200, .body = { large, LARGE } };
    } else if (!remora_slice_eq(wanted, "many headers")) {
        return false;
    }
    remora_middleware_reply(call, &verdict);
    return true;
}

static void
handle(remora_call *call, void *self, const struct remora_http_request *request)
{
    (void)self;
    struct remora_slice wanted;
    if (!remora_http_header(request, "X-Verdict", &wanted)) {
        remora_reply_ok(call);
        return;
    }
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        if (remora_slice_eq(wanted, verdicts[i].name)) {
            remora_middleware_reply(call, &verdicts[i].verdict);
            return;
        }
    }
    if (remora_slice_eq(wanted, "crash"))
        abort();
    if (!give_large(call, wanted))
        remora_reply_error(call, REMORA_INTERNAL, "no verdict");
}

static const struct remora_middleware_ops middleware = { .handle = handle };
static const struct remora_component_type types[] = { { .type = "middleware.http.verdicts",
                                                        .versions = "v1",
                                                        .init = init,
                                                        .middleware = &middleware } };
static const struct remora_plugin plugin = {
    .name = "verdicts", .version = "1.0.0", .types = types, .type_count = 1
};

int
main(int argc, char **argv)
{
    return remora_plugin_main(&plugin, argc, argv);
}
