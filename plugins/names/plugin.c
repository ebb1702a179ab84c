/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names: resolvers that know where an application is from its name alone, because a DNS server or
 * an orchestrator does the rest: nameresolution.kubernetes, nameresolution.dns and
 * nameresolution.nameformat. They are one and the same, a pattern; its text differs.
 */
#include <remora_plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

/* How long the sidecar may go on with an answer. It would be the same again: this bounds memory. */
enum { TTL_MS = 60 * 1000 };

struct resolver {
    struct pattern pattern;
    char *namespace_; /* owned; of the own sidecar */
};

static bool
setting(const struct remora_config *config, const char *name, struct remora_slice *ret)
{
    return remora_metadata_get(config->metadata, config->metadata_count, name, ret) && ret->len > 0;
}

static struct remora_slice
slice_of(const char *text, int len)
{
    return (struct remora_slice){ text, (size_t)len };
}

static void
close_resolver(void *self)
{
    struct resolver *resolver = self;
    pattern_fini(&resolver->pattern);
    free(resolver->namespace_);
    free(resolver);
}

static void
finish_init(remora_call *call, const struct remora_config *config, struct remora_slice pattern,
            enum pattern_syntax syntax)
{
    char error[ERROR_BYTES];
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL)
        abort();
    if (!pattern_init(&resolver->pattern, pattern, syntax, error)) {
        free(resolver);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "invalid %s: %s",
                           syntax == SYNTAX_APPID ? "format" : "template", error);
        return;
    }
    if (syntax == SYNTAX_APPID && !pattern_has(&resolver->pattern, PART_ID)) {
        close_resolver(resolver);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "format must contain {appid} placeholder");
        return;
    }
    struct remora_slice own = config->instance.namespace_;
    resolver->namespace_ = remora_slice_dup(own.len > 0 ? own : slice_of("default", 7));
    remora_reply_init(call, resolver, 0, 0);
}

static void
init_kubernetes(remora_call *call, const struct remora_config *config)
{
    struct remora_slice pattern, domain = slice_of("cluster.local", 13);
    char text[PATTERN_BYTES_MAX];
    bool has_domain = setting(config, "clusterDomain", &domain);
    if (setting(config, "template", &pattern)) {
        if (has_domain)
            remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                               "clusterDomain and template cannot both be set");
        else
            finish_init(call, config, pattern, SYNTAX_TEMPLATE);
        return;
    }
    int len = domain.len > 255
                  ? -1
                  : snprintf(text, sizeof text, "{{.ID}}-dapr.{{.Namespace}}.svc.%.*s:{{.Port}}",
                             (int)domain.len, domain.data);
    if (len < 0)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "invalid clusterDomain: too long");
    else
        finish_init(call, config, slice_of(text, len), SYNTAX_TEMPLATE);
}

static void
init_dns(remora_call *call, const struct remora_config *config)
{
    static const char pattern[] = "{{.ID}}-dapr.{{.Namespace}}.svc:{{.Port}}";
    finish_init(call, config, slice_of(pattern, sizeof pattern - 1), SYNTAX_TEMPLATE);
}

static void
init_nameformat(remora_call *call, const struct remora_config *config)
{
    struct remora_slice format;
    if (setting(config, "format", &format))
        finish_init(call, config, format, SYNTAX_APPID);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "format is required in metadata");
}

static void
resolve(remora_call *call, void *self, const struct remora_name_query *query)
{
    const struct resolver *resolver = self;
    char address[ADDRESS_BYTES_MAX], error[ERROR_BYTES];
    size_t len;
    struct remora_slice namespace_ = { resolver->namespace_, strlen(resolver->namespace_) };
    if (!pattern_fill(&resolver->pattern, query, namespace_, address, &len, error)) {
        remora_reply_error(call, REMORA_NOT_FOUND, "%s", error);
        return;
    }
    struct remora_slice answer = { address, len };
    remora_name_reply(call, &answer, 1, TTL_MS);
}

static const struct remora_name_ops ops = { .resolve = resolve };

static const struct remora_component_type types[] = {
    { .type = "nameresolution.kubernetes",
      .versions = "v1",
      .init = init_kubernetes,
      .close = close_resolver,
      .names = &ops },
    { .type = "nameresolution.dns",
      .versions = "v1",
      .init = init_dns,
      .close = close_resolver,
      .names = &ops },
    { .type = "nameresolution.nameformat",
      .versions = "v1",
      .init = init_nameformat,
      .close = close_resolver,
      .names = &ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "names",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
