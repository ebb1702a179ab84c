/* SPDX-License-Identifier: Apache-2.0 */
/* Components and plugins as the metadata API shows them. */
#include "base/json.h"
#include "component/host_internal.h"

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

/* Names in the reference's order. ACTOR follows from two others. */
static bool
put_capabilities(struct buf *out, uint32_t capabilities)
{
    static const struct {
        uint32_t bits;
        const char *name;
    } names[] = {
        { CAN_ETAG, "ETAG" },
        { CAN_TRANSACT, "TRANSACTIONAL" },
        { CAN_QUERY, "QUERY_API" },
        { CAN_TTL, "TTL" },
        { CAN_DELETE_PREFIX, "DELETE_WITH_PREFIX" },
        { CAN_KEYS_LIKE, "KEYS_LIKE" },
        { CAN_ETAG | CAN_TRANSACT, "ACTOR" },
    };
    const char *before = ",\"capabilities\":[";
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if ((capabilities & names[i].bits) != names[i].bits)
            continue;
        ok = ok && put(out, before) && json_write_string(out, slice_str(names[i].name), false);
        before = ",";
    }
    return ok && (*before == ',' && before[1] == '\0' ? put(out, "]") : true);
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

static bool
put_standing(struct buf *out, const struct member *member, bool is_first)
{
    static const char *const names[] = {
        [STANDING_WAITING] = "waiting", [STANDING_READY] = "ready", [STANDING_FAILED] = "failed"
    };
    bool ok = (is_first || put(out, ",")) && put(out, "{") &&
              put_member(out, true, "name", member->spec->name) &&
              put_member(out, false, "state", slice_str(names[member->standing])) &&
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
              put_member(out, false, "state", slice_str(plugin_state_name(status->state))) &&
              put_member(out, false, "reason", status->reason) &&
              buf_printf(out, ",\"pid\":%d,\"generation\":%u,\"restarts\":%llu", (int)status->pid,
                         status->generation, (unsigned long long)status->restarts) &&
              put_member(out, false, "lastExit", status->last_exit) &&
              put_member(out, false, "sandbox", status->sandbox_active) &&
              put_member(out, false, "sandboxMissing", status->sandbox_missing) &&
              put(out, ",\"lastLines\":[");
    for (size_t i = 0; i < status->line_count; i++)
        ok = ok && (i == 0 || put(out, ",")) && json_write_string(out, status->lines[i], true);
    return ok && put(out, "]}");
}

bool
host_describe(struct host *host, struct buf *components, struct buf *details)
{
    struct arena arena;
    arena_init(&arena);
    size_t plugin_count;
    const struct plugin_status *statuses = supervisor_statuses(host->supervisor, &arena,
                                                               &plugin_count);
    bool ok = put(details, "\"components\":[");
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = &host->members[i];
        if (member->is_settled &&
            (member->standing != STANDING_FAILED || member->capabilities != 0))
            ok = ok && put_component(components, member);
        ok = ok && put_standing(details, member, i == 0);
    }
    ok = ok && put(details, "],\"plugins\":[");
    for (size_t i = 0; i < plugin_count; i++)
        ok = ok && put_plugin(details, &statuses[i], i == 0);
    ok = ok && put(details, "]");
    arena_fini(&arena);
    return ok;
}
