/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: reading and watching decoded, handed to the type's functions, answered. Changes go
 * the other way through host.c. */
#include "sdk.h"

#include <assert.h>

#include "base/pb.h"

static const struct remora_configuration_query *
query_of(struct remora_call *call, char *const *keys, size_t key_count,
         Remora__Plugin__V1__Pair *const *metadata, size_t metadata_count, uint64_t subscription)
{
    struct remora_configuration_query *query = ARENA_NEW(&call->arena,
                                                         struct remora_configuration_query);
    struct remora_slice *slices = ARENA_ARRAY(&call->arena, struct remora_slice, key_count);
    for (size_t i = 0; i < key_count; i++)
        slices[i] = to_remora(slice_str(keys[i]));
    *query = (struct remora_configuration_query){
        .keys = slices,
        .key_count = key_count,
        .subscription = subscription,
        .metadata = unpack_pairs(&call->arena, metadata, metadata_count),
        .metadata_count = metadata_count,
    };
    return query;
}

static void
get(struct remora_call *call, const struct remora_configuration_ops *ops)
{
    const Remora__Plugin__V1__ConfigurationGet *in = call_unpack(
        call, &remora__plugin__v1__configuration_get__descriptor);
    if (in == NULL)
        call_refuse_malformed(call, "ConfigurationGet");
    else
        ops->get(call, call->component->self,
                 query_of(call, in->keys, in->n_keys, in->metadata, in->n_metadata, 0));
}

static void
subscribe(struct remora_call *call, const struct remora_configuration_ops *ops)
{
    const Remora__Plugin__V1__ConfigurationSubscribe *in = call_unpack(
        call, &remora__plugin__v1__configuration_subscribe__descriptor);
    if (in == NULL || in->subscription == 0)
        call_refuse_malformed(call, "ConfigurationSubscribe");
    else
        ops->subscribe(
            call, call->component->self,
            query_of(call, in->keys, in->n_keys, in->metadata, in->n_metadata, in->subscription));
}

static void
unsubscribe(struct remora_call *call, const struct remora_configuration_ops *ops)
{
    const Remora__Plugin__V1__ConfigurationUnsubscribe *in = call_unpack(
        call, &remora__plugin__v1__configuration_unsubscribe__descriptor);
    if (in == NULL || in->subscription == 0)
        call_refuse_malformed(call, "ConfigurationUnsubscribe");
    else
        ops->unsubscribe(call, call->component->self, in->subscription);
}

static bool
is_served(const struct remora_configuration_ops *ops, uint32_t method)
{
    switch (method) {
    case METHOD(CONFIGURATION_GET):
        return ops->get != NULL;
    case METHOD(CONFIGURATION_SUBSCRIBE):
        return ops->subscribe != NULL;
    default:
        return ops->unsubscribe != NULL;
    }
}

void
configuration_run(struct remora_call *call)
{
    const struct remora_configuration_ops *ops = call->component->type->configuration;
    if (ops == NULL || !is_served(ops, call->method))
        call_refuse_unsupported(call);
    else if (call->method == METHOD(CONFIGURATION_GET))
        get(call, ops);
    else if (call->method == METHOD(CONFIGURATION_SUBSCRIBE))
        subscribe(call, ops);
    else
        unsubscribe(call, ops);
}

static Remora__Plugin__V1__ConfigurationItem *
pack_item(struct arena *arena, const struct remora_configuration_item *from)
{
    Remora__Plugin__V1__ConfigurationItem *item = ARENA_NEW(arena,
                                                            Remora__Plugin__V1__ConfigurationItem);
    remora__plugin__v1__configuration_item__init(item);
    item->key = arena_str(arena, from_remora(from->key));
    item->value.data = (uint8_t *)(uintptr_t)from->value.data;
    item->value.len = from->value.len;
    item->version = arena_str(arena, from_remora(from->version));
    item->n_metadata = from->metadata_count;
    item->metadata = pack_pairs(arena, from->metadata, from->metadata_count);
    return item;
}

static Remora__Plugin__V1__ConfigurationItem **
pack_items(struct arena *arena, const struct remora_configuration_item *items, size_t count)
{
    Remora__Plugin__V1__ConfigurationItem **packed = ARENA_ARRAY(
        arena, Remora__Plugin__V1__ConfigurationItem *, count);
    for (size_t i = 0; i < count; i++)
        packed[i] = pack_item(arena, &items[i]);
    return packed;
}

void
remora_configuration_reply(remora_call *call, const struct remora_configuration_item *items,
                           size_t count)
{
    assert(call->method == METHOD(CONFIGURATION_GET));
    Remora__Plugin__V1__ConfigurationItems reply = REMORA__PLUGIN__V1__CONFIGURATION_ITEMS__INIT;
    reply.n_items = count;
    reply.items = pack_items(&call->arena, items, count);
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}

struct slice
configuration_pack_change(struct arena *arena, uint64_t subscription,
                          const struct remora_configuration_item *items, size_t count)
{
    Remora__Plugin__V1__HostConfigurationChanged change =
        REMORA__PLUGIN__V1__HOST_CONFIGURATION_CHANGED__INIT;
    change.subscription = subscription;
    change.n_items = count;
    change.items = pack_items(arena, items, count);
    return pb_pack(arena, &change.base);
}

struct slice
configuration_pack_missed(struct arena *arena, uint64_t subscription)
{
    Remora__Plugin__V1__HostConfigurationChanged change =
        REMORA__PLUGIN__V1__HOST_CONFIGURATION_CHANGED__INIT;
    change.subscription = subscription;
    change.read_again = true;
    return pb_pack(arena, &change.base);
}
