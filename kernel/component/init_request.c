/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin is told when it is to create a component, without what secret stores hold. */
#include <stdlib.h>

#include "base/pb.h"
#include "component/host_internal.h"
#include "remora/plugin/v1/plugin.pb-c.h"

static Remora__Plugin__V1__Pair *
pack_pair(struct arena *arena, struct slice name, struct slice value)
{
    Remora__Plugin__V1__Pair *pair = ARENA_NEW(arena, Remora__Plugin__V1__Pair);
    remora__plugin__v1__pair__init(pair);
    pair->name = pb_string(arena, name);
    pair->value = pb_string(arena, value);
    return pair;
}

/* The sidecar's own environment, by message: not in the plugin's, which every process of the user
 * can read. What belongs to the sidecar itself stays here. */
static void
pack_environment(struct arena *arena, struct env env, Remora__Plugin__V1__InitRequest *message)
{
    char *const *all = env.all == NULL ? NULL : env.all(env.arg);
    size_t count = 0;
    while (all != NULL && all[count] != NULL)
        count++;
    message->environment = ARENA_ARRAY(arena, Remora__Plugin__V1__Pair *, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct slice value = slice_str(all[i]), name;
        if (slice_split(&value, '=', &name) && !slice_has_prefix_nocase(name, SLICE("DAPR_")) &&
            !slice_eq_nocase(name, SLICE("APP_API_TOKEN")))
            message->environment[message->n_environment++] = pack_pair(arena, name, value);
    }
}

/* What a resolver tells others of us, and its own settings. */
static void
pack_instance(struct arena *arena, const struct host_config *config, struct slice configuration,
              Remora__Plugin__V1__InitRequest *message)
{
    const struct host_instance *from = config->instance;
    message->configuration.data = (uint8_t *)(uintptr_t)configuration.data; /* only read */
    message->configuration.len = configuration.len;
    if (from == NULL)
        return;
    Remora__Plugin__V1__Instance *instance = ARENA_NEW(arena, Remora__Plugin__V1__Instance);
    remora__plugin__v1__instance__init(instance);
    instance->app_id = pb_string(arena, config->app_id);
    instance->namespace_ = pb_string(arena, config->namespace_);
    instance->host_address = pb_string(arena, from->host_address);
    instance->host_name = pb_string(arena, from->host_name);
    instance->internal_port = from->internal_port;
    instance->http_port = from->http_port;
    instance->grpc_port = from->grpc_port;
    instance->app_port = from->app_port;
    instance->pid = from->pid;
    message->instance = instance;
}

/* Who says nothing else shares a subscription with the other replicas of the application (PUB-06).
 */
static void
put_consumer(struct arena *arena, const struct component_spec *spec,
             Remora__Plugin__V1__InitRequest *message)
{
    const struct slice name = SLICE("consumerID");
    const struct component_value *value = component_value(spec, name);
    if (value == NULL)
        message->metadata[message->n_metadata++] = pack_pair(arena, name,
                                                             slice_str(message->app_id));
}

struct init_request
init_request_pack(struct host *host, const struct component_spec *spec,
                  const struct manifest *manifest)
{
    const struct manifest_type *type = manifest_find_type(manifest, spec->type, spec->version);
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__InitRequest message = REMORA__PLUGIN__V1__INIT_REQUEST__INIT;
    message.name = pb_string(&arena, spec->name);
    message.type = pb_string(&arena, spec->type);
    message.version = pb_string(&arena, spec->version);
    message.app_id = pb_string(&arena, host->config.app_id);
    message.namespace_ = pb_string(&arena, host->config.namespace_);
    message.metadata = ARENA_ARRAY(&arena, Remora__Plugin__V1__Pair *, spec->value_count + 2);
    for (size_t i = 0; i < spec->value_count; i++)
        if (spec->values[i].secret_name.len == 0) /* the others follow later */
            message.metadata[message.n_metadata++] = pack_pair(&arena, spec->values[i].name,
                                                               spec->values[i].value);
    enum component_kind kind = COMPONENT_KINDS;
    (void)component_kind_of(spec->type, &kind);
    if (kind == COMPONENT_PUBSUB)
        put_consumer(&arena, spec, &message);
    if (kind == COMPONENT_NAMES)
        pack_instance(&arena, &host->config, spec->configuration, &message);
    if (type != NULL && type->wants_environment)
        pack_environment(&arena, host->config.environment, &message);
    struct slice packed = pb_pack(&arena, &message.base);
    char *copy = malloc(packed.len + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, packed.data, packed.len);
    struct init_request request = { .bytes = copy, .len = packed.len };
    arena_fini(&arena);
    return request;
}
