/* SPDX-License-Identifier: Apache-2.0 */
/* The table of components by the sidecar's handle, and their way from init to close. */
#include "sdk.h"

#include <assert.h>
#include <stdlib.h>

#include "base/pb.h"

static struct component **
bucket_of(uint32_t handle)
{
    return &sdk.components[handle % COMPONENT_BUCKETS];
}

struct component *
component_find(uint32_t handle)
{
    struct component *component = *bucket_of(handle);
    while (component != NULL && component->handle != handle)
        component = component->next;
    return component;
}

static struct component *
component_new(uint32_t handle, const struct remora_component_type *type)
{
    struct component *component = calloc(1, sizeof *component);
    if (component == NULL)
        abort();
    component->handle = handle;
    component->type = type;
    component->next = *bucket_of(handle);
    *bucket_of(handle) = component;
    return component;
}

static void
component_free(struct component *component)
{
    struct component **at = bucket_of(component->handle);
    while (*at != component)
        at = &(*at)->next;
    *at = component->next;
    if (sdk.current == component)
        sdk.current = NULL;
    free(component);
}

void
component_enter(struct component *component)
{
    if (component != NULL)
        component->open_calls++;
}

static void
finish_close(struct component *component)
{
    struct remora_call *close_call = component->close_call;
    if (component->type->close != NULL)
        component->type->close(component->self);
    component_free(component);
    call_reply_status(close_call, NULL);
}

void
component_leave(struct component *component)
{
    assert(component->open_calls > 0);
    component->open_calls--;
    if (component->open_calls > 0)
        return;
    if (component->is_closing)
        finish_close(component);
    else if (!component->is_ready)
        component_free(component); /* its init failed */
}

/* --- init --------------------------------------------------------------------------------------*/

static bool
is_version_listed(const char *versions, struct slice version)
{
    struct slice rest = slice_str(versions), part;
    while (slice_split(&rest, ',', &part))
        if (slice_eq(slice_trim(part), version))
            return true;
    return version.len == 0;
}

/* "state.*" stands for every type of that kind that has no row of its own. */
static bool
is_any_of_kind(const char *row, const char *name)
{
    size_t len = strlen(row);
    return len > 2 && strcmp(row + len - 2, ".*") == 0 && strncmp(row, name, len - 1) == 0;
}

static const struct remora_component_type *
find_type(const char *name)
{
    const struct remora_component_type *found = NULL;
    for (size_t i = 0; i < sdk.plugin->type_count; i++) {
        const struct remora_component_type *type = &sdk.plugin->types[i];
        if (strcmp(type->type, name) == 0)
            return type;
        if (found == NULL && is_any_of_kind(type->type, name))
            found = type;
    }
    return found;
}

static struct remora_slice
text(const char *string)
{
    return to_remora(slice_str(string));
}

static const struct remora_pair *
pairs_of(struct remora_call *call, Remora__Plugin__V1__Pair *const *from, size_t count)
{
    struct remora_pair *pairs = ARENA_ARRAY(&call->arena, struct remora_pair, count);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct remora_pair){ text(from[i]->name), text(from[i]->value) };
    return pairs;
}

/* Numbers that are no ports count as none. */
static uint16_t
port_of(uint32_t number)
{
    return number <= UINT16_MAX ? (uint16_t)number : 0;
}

static struct remora_instance
instance_of(const Remora__Plugin__V1__Instance *from)
{
    if (from == NULL)
        return (struct remora_instance){ text(""), text(""), text(""), text(""), 0, 0, 0, 0, 0 };
    return (struct remora_instance){
        .app_id = text(from->app_id),
        .namespace_ = text(from->namespace_),
        .host_address = text(from->host_address),
        .host_name = text(from->host_name),
        .internal_port = port_of(from->internal_port),
        .http_port = port_of(from->http_port),
        .grpc_port = port_of(from->grpc_port),
        .app_port = port_of(from->app_port),
        .pid = from->pid,
    };
}

static const struct remora_config *
config_of(struct remora_call *call, const Remora__Plugin__V1__InitRequest *request)
{
    struct remora_config *config = arena_alloc(&call->arena, sizeof *config);
    *config = (struct remora_config){
        .name = text(request->name),
        .type = text(request->type),
        .version = text(request->version),
        .app_id = text(request->app_id),
        .namespace_ = text(request->namespace_),
        .metadata = pairs_of(call, request->metadata, request->n_metadata),
        .metadata_count = request->n_metadata,
        .environment = pairs_of(call, request->environment, request->n_environment),
        .environment_count = request->n_environment,
        .instance = instance_of(request->instance),
        .configuration = to_remora(
            slice_of(request->configuration.data, request->configuration.len)),
    };
    return config;
}

void
component_init(struct remora_call *call)
{
    const Remora__Plugin__V1__InitRequest *request = pb_unpack(
        &call->arena, &remora__plugin__v1__init_request__descriptor, call->message,
        LIMIT_frame_depth_max, LIMIT_message_bytes_max);
    if (request == NULL) {
        call_fail(call, REMORA_INVALID_ARGUMENT, "malformed InitRequest");
        return;
    }
    const struct remora_component_type *type = find_type(request->type);
    if (type == NULL || !is_version_listed(type->versions, slice_str(request->version))) {
        call_fail(call, REMORA_INVALID_ARGUMENT, "this plugin has no component type %s/%s",
                  request->type, request->version);
        return;
    }
    if (call->handle == 0 || component_find(call->handle) != NULL) {
        call_fail(call, REMORA_ALREADY_EXISTS, "component handle %u is in use", call->handle);
        return;
    }
    call->component = component_new(call->handle, type);
    component_enter(call->component);
    sdk.current = call->component;
    type->init(call, config_of(call, request));
    sdk.current = NULL;
}

/* A comma list. */
static void
pack_operations(struct remora_call *call, struct slice rest, Remora__Plugin__V1__InitReply *reply)
{
    struct slice one;
    reply->operations = ARENA_ARRAY(&call->arena, char *, rest.len + 1);
    while (slice_split(&rest, ',', &one))
        if (one.len > 0)
            reply->operations[reply->n_operations++] = arena_str(&call->arena, one);
}

static void
reply_init(remora_call *call, void *self, uint32_t capabilities,
           uint32_t transaction_operations_max, struct slice operations)
{
    assert(call->method == METHOD(INIT) && call->component != NULL);
    call->component->self = self;
    call->component->is_ready = true;
    Remora__Plugin__V1__Capability list[32];
    Remora__Plugin__V1__InitReply reply = REMORA__PLUGIN__V1__INIT_REPLY__INIT;
    reply.capabilities = list;
    reply.transaction_operations_max = transaction_operations_max;
    pack_operations(call, operations, &reply);
    for (unsigned bit = 0; bit < 32; bit++) /* bit n is capability n + 1 */
        if (capabilities >> bit & 1)
            list[reply.n_capabilities++] = (Remora__Plugin__V1__Capability)(bit + 1);
    call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
}

void
remora_reply_init(remora_call *call, void *self, uint32_t capabilities,
                  uint32_t transaction_operations_max)
{
    const struct remora_binding_ops *ops = call->component->type->binding;
    reply_init(call, self, capabilities, transaction_operations_max,
               ops == NULL || ops->operations == NULL ? SLICE_EMPTY : slice_str(ops->operations));
}

void
remora_reply_init_binding(remora_call *call, void *self, uint32_t capabilities,
                          const char *operations)
{
    reply_init(call, self, capabilities, 0, slice_str(operations));
}

/* --- start, quiesce, close ---------------------------------------------------------------------*/

void
component_start(struct remora_call *call)
{
    struct component *component = call->component;
    if (component->type->start == NULL)
        remora_reply_ok(call);
    else
        component->type->start(call, component->self);
}

void
component_quiesce(struct remora_call *call)
{
    struct component *component = call->component;
    if (component->type->quiesce == NULL)
        remora_reply_ok(call);
    else
        component->type->quiesce(call, component->self);
}

/* Without calls at once, else when the last one is answered. */
void
component_close(struct remora_call *call)
{
    struct component *component = TAKE(call->component);
    component->is_closing = true;
    component->close_call = call;
    component_leave(component);
}

/* --- handover ----------------------------------------------------------------------------------*/

void
component_export(struct remora_call *call)
{
    struct component *component = call->component;
    const Remora__Plugin__V1__ExportRequest *request = pb_unpack(
        &call->arena, &remora__plugin__v1__export_request__descriptor, call->message,
        LIMIT_frame_depth_max, LIMIT_message_bytes_max);
    if (request == NULL)
        call_fail(call, REMORA_INVALID_ARGUMENT, "malformed ExportRequest");
    else if (component->type->export_state == NULL)
        call_fail(call, REMORA_UNIMPLEMENTED, "%s has no state to hand over",
                  component->type->type);
    else
        component->type->export_state(call, component->self, request->cursor);
}

void
component_import(struct remora_call *call)
{
    struct component *component = call->component;
    if (component->type->import_state == NULL)
        call_fail(call, REMORA_UNIMPLEMENTED, "%s takes no state over", component->type->type);
    else
        component->type->import_state(call, component->self, to_remora(call->body));
}

void
remora_reply_export(remora_call *call, uint64_t cursor, bool more, struct remora_bytes piece)
{
    assert(call->method == METHOD(EXPORT));
    Remora__Plugin__V1__ExportReply reply = REMORA__PLUGIN__V1__EXPORT_REPLY__INIT;
    reply.cursor = cursor;
    reply.more = more;
    call_reply(call, pb_pack(&call->arena, &reply.base), &piece, 1);
}

/* --- replies -----------------------------------------------------------------------------------*/

void
component_on_reply(struct remora_call *call, bool is_ok)
{
    if (call->method == METHOD(INIT) && call->component != NULL) {
        call->component->is_ready = is_ok;
    } else if (call->method == METHOD(QUIESCE) && is_ok) {
        Remora__Plugin__V1__QuiesceReply reply = REMORA__PLUGIN__V1__QUIESCE_REPLY__INIT;
        reply.outstanding = call->component->open_calls - 1; /* without this one */
        call_reply(call, pb_pack(&call->arena, &reply.base), NULL, 0);
    }
}

/* At the end of the process: those with open calls are left as they are, their handlers may hold on
 * to them. */
void
component_close_all(void)
{
    for (size_t i = 0; i < COMPONENT_BUCKETS; i++) {
        struct component *component = sdk.components[i], *next;
        for (; component != NULL; component = next) {
            next = component->next;
            if (component->open_calls > 0 || !component->is_ready)
                continue;
            if (component->type->close != NULL)
                component->type->close(component->self);
            component_free(component);
        }
    }
}
