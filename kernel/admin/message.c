/* SPDX-License-Identifier: Apache-2.0 */
/* Facts become messages; see message.h. */
#include "admin/message.h"

#include "base/pb.h"

char *
message_text(struct arena *arena, struct slice text)
{
    char *copy = arena_str(arena, text);
    size_t at = 0;
    while (at < text.len) {
        size_t len = slice_utf8_len(slice_of(copy + at, text.len - at));
        if (len == 0 || copy[at] == '\0') {
            copy[at] = '?';
            len = 1;
        }
        at += len;
    }
    return copy;
}

static char **
lines_of(struct arena *arena, const struct plugin_status *status)
{
    char **lines = ARENA_ARRAY(arena, char *, status->line_count + 1);
    for (size_t i = 0; i < status->line_count; i++)
        lines[i] = message_text(arena, status->lines[i]);
    return lines;
}

static const char *
role_name(enum plugin_role role)
{
    static const char *const names[] = {
        [PLUGIN_SERVES] = "serving", [PLUGIN_SUCCESSOR] = "successor", [PLUGIN_RETIRED] = "retired"
    };
    return names[role];
}

static char **
types_of(struct arena *arena, const struct manifest *manifest)
{
    char **types = ARENA_ARRAY(arena, char *, manifest->type_count + 1);
    for (size_t i = 0; i < manifest->type_count; i++)
        types[i] = message_text(arena, slice_str(manifest->types[i].type));
    return types;
}

Remora__Admin__V1__Plugin *
message_plugin(struct arena *arena, const struct plugin_status *status, const struct plugin *of,
               bool with_lines)
{
    Remora__Admin__V1__Plugin *plugin = ARENA_NEW(arena, Remora__Admin__V1__Plugin);
    remora__admin__v1__plugin__init(plugin);
    plugin->name = message_text(arena, status->name);
    plugin->version = message_text(arena, status->version);
    plugin->state = message_text(arena, slice_str(plugin_state_name(status->state)));
    plugin->since_unix_ms = status->since_unix_ms;
    plugin->pid = (int32_t)status->pid;
    plugin->group = (int32_t)status->group;
    plugin->generation = status->generation;
    plugin->restarts = status->restarts;
    plugin->reason = message_text(arena, status->reason);
    plugin->last_exit = message_text(arena, status->last_exit);
    plugin->sandbox = message_text(arena, status->sandbox_active);
    plugin->sandbox_missing = message_text(arena, status->sandbox_missing);
    if (with_lines) {
        plugin->n_lines = status->line_count;
        plugin->lines = lines_of(arena, status);
    }
    if (of != NULL) {
        const struct manifest *manifest = plugin_manifest(of);
        plugin->role = message_text(arena, slice_str(role_name(plugin_role(of))));
        plugin->executable = message_text(arena, slice_str(manifest->program));
        plugin->manifest = message_text(arena, slice_str(manifest->file));
        plugin->n_types = manifest->type_count;
        plugin->types = types_of(arena, manifest);
    }
    return plugin;
}

Remora__Admin__V1__Component *
message_component(struct arena *arena, const struct host_component *from)
{
    Remora__Admin__V1__Component *component = ARENA_NEW(arena, Remora__Admin__V1__Component);
    remora__admin__v1__component__init(component);
    component->name = message_text(arena, from->name);
    component->type = message_text(arena, from->type);
    component->version = message_text(arena, from->version);
    component->state = message_text(arena, slice_str(from->state));
    component->plugin = message_text(arena, from->plugin);
    component->generation = from->generation;
    component->error = message_text(arena, from->error);
    const char *names[COMPONENT_CAPABILITY_NAMES];
    component->n_capabilities = component_capability_names(from->capabilities, names);
    component->capabilities = ARENA_ARRAY(arena, char *, COMPONENT_CAPABILITY_NAMES);
    for (size_t i = 0; i < component->n_capabilities; i++)
        component->capabilities[i] = message_text(arena, slice_str(names[i]));
    return component;
}
