/* SPDX-License-Identifier: Apache-2.0 */
/* Components and plugins as the metadata API and administrators see them. */
#include "base/json.h"
#include "component/host_internal.h"

const char *
standing_name(enum standing standing)
{
    static const char *const names[] = {
        [STANDING_WAITING] = "waiting", [STANDING_READY] = "ready", [STANDING_FAILED] = "failed"
    };
    return names[standing];
}

struct host_component
member_describe(const struct member *member)
{
    const struct component_spec *spec = member->spec;
    return (struct host_component){
        .name = spec->name,
        .type = spec->type,
        .version = spec->version,
        .state = standing_name(member->standing),
        .is_ready = member->standing == STANDING_READY,
        .plugin = slice_str(member->ward == NULL ? NULL : plugin_name(member->ward->plugin)),
        .error = slice_str(member->error),
        .generation = member->generation,
        .capabilities = member->capabilities,
    };
}

/* It is there, and of a document. */
static bool
is_documented(const struct member *member)
{
    return member != NULL && member->kind != COMPONENT_NAMES;
}

size_t
host_component_count(const struct host *host)
{
    size_t count = 0;
    for (size_t i = 0; i < host->member_count; i++)
        count += is_documented(host->members[i]);
    return count;
}

bool
host_next_component(const struct host *host, size_t *cursor, struct host_component *ret_component)
{
    while (*cursor < host->member_count) {
        const struct member *member = host->members[(*cursor)++];
        if (!is_documented(member))
            continue;
        *ret_component = member_describe(member);
        return true;
    }
    return false;
}

struct plugin *
host_plugin_at(struct host *host, size_t index)
{
    return supervisor_plugin_at(host->supervisor, index);
}

bool
host_is_stopping(const struct host *host)
{
    return host->is_stopping;
}

static bool
put(struct buf *out, const char *text)
{
    return buf_append(out, slice_str(text));
}

/* `"name":"text"`, behind a comma unless it is the first. */
static bool
put_member(struct buf *out, bool is_first, const char *name, struct slice text)
{
    return (is_first || put(out, ",")) && json_write_string(out, slice_str(name), false) &&
           put(out, ":") && json_write_string(out, text, true);
}

static bool
put_capabilities(struct buf *out, uint32_t capabilities)
{
    const char *names[COMPONENT_CAPABILITY_NAMES];
    size_t count = component_capability_names(capabilities, names);
    bool ok = count == 0 || put(out, ",\"capabilities\":[");
    for (size_t i = 0; i < count; i++)
        ok = ok && (i == 0 || put(out, ",")) && json_write_string(out, slice_str(names[i]), false);
    return ok && (count == 0 || put(out, "]"));
}

/* Only what can be called is a component to the reference. */
static bool
put_component(struct buf *out, const struct member *member)
{
    const struct component_spec *spec = member->spec;
    return (out->len == 0 || put(out, ",")) && put(out, "{") &&
           put_member(out, true, "name", spec->name) &&
           put_member(out, false, "type", spec->type) &&
           put_member(out, false, "version", spec->version) &&
           put_capabilities(out, member->capabilities) && put(out, "}");
}

/* Under its name, or that of the component behind the category. */
static bool
put_standing(struct buf *out, const struct member *member, struct slice name, bool is_first)
{
    bool ok = (is_first || put(out, ",")) && put(out, "{") && put_member(out, true, "name", name) &&
              put_member(out, false, "state", slice_str(standing_name(member->standing))) &&
              buf_printf(out, ",\"generation\":%u", member->generation);
    if (member->ward != NULL)
        ok = ok && put_member(out, false, "plugin", slice_str(plugin_name(member->ward->plugin)));
    if (member->error != NULL)
        ok = ok && put_member(out, false, "error", slice_str(member->error));
    return ok && put(out, "}");
}

static bool
put_plugin(struct buf *out, const struct plugin_status *status, bool is_first)
{
    bool ok = (is_first || put(out, ",")) && put(out, "{") &&
              put_member(out, true, "name", status->name) &&
              put_member(out, false, "version", status->version) &&
              put_member(out, false, "build", status->build) &&
              put_member(out, false, "state", slice_str(plugin_state_name(status->state))) &&
              put_member(out, false, "reason", status->reason) &&
              buf_printf(out, ",\"pid\":%d,\"group\":%d,\"generation\":%u,\"restarts\":%llu",
                         (int)status->pid, (int)status->group, status->generation,
                         (unsigned long long)status->restarts) &&
              put_member(out, false, "lastExit", status->last_exit) &&
              put_member(out, false, "sandbox", status->sandbox_active) &&
              put_member(out, false, "sandboxMissing", status->sandbox_missing) &&
              put(out, ",\"lastLines\":[");
    for (size_t i = 0; i < status->line_count; i++)
        ok = ok && (i == 0 || put(out, ",")) && json_write_string(out, status->lines[i], true);
    return ok && put(out, "]}");
}

/* The secret stores, or all others. */
static bool
put_members(const struct host *host, bool secret_stores, struct buf *components,
            struct buf *details)
{
    bool ok = true;
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        if (!is_documented(member) || (member->kind == COMPONENT_SECRETS) != secret_stores)
            continue;
        if (member->is_settled && member->generation > 0 &&
            (member->standing != STANDING_FAILED || member->capabilities != 0))
            ok = ok && put_component(components, member);
        ok = ok && put_standing(details, member, member->spec->name,
                                details->data[details->len - 1] == '[');
    }
    return ok;
}

static bool
put_resolver(const struct host *host, struct buf *details)
{
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        if (member == NULL || member->kind != COMPONENT_NAMES)
            continue;
        return put(details, ",\"nameResolution\":") &&
               put_standing(details, member, member_resolver_name(member), true);
    }
    return true;
}

bool
host_describe(struct host *host, struct buf *components, struct buf *details)
{
    struct arena arena;
    arena_init(&arena);
    size_t plugin_count;
    const struct plugin_status *statuses = supervisor_statuses(host->supervisor, &arena,
                                                               &plugin_count);
    /* The order of the reference, which is that of their initialisation. */
    bool ok = put(details, "\"components\":[") && put_members(host, true, components, details) &&
              put_members(host, false, components, details) && put(details, "],\"plugins\":[");
    for (size_t i = 0; i < plugin_count; i++)
        ok = ok && put_plugin(details, &statuses[i], i == 0);
    ok = ok && put(details, "]") && put_resolver(host, details);
    arena_fini(&arena);
    return ok;
}
