/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands print; see show.h. */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/version.h"
#include "json.h"
#include "table.h"

enum { JSON_BYTES_MAX = 256 * 1024 * 1024 };

/* --- JSON --------------------------------------------------------------------------------------*/

static void
json_init(struct buf *out)
{
    buf_init(out, JSON_BYTES_MAX);
}

/* `ok`: whether all of it fitted, which it does, since replies are bounded. */
static void
json_print(struct buf *out, bool ok)
{
    if (!ok)
        abort();
    (void)fwrite(buf_slice(out).data, 1, out->len, stdout); /* main() looks at stdout at the end */
    (void)putchar('\n');                                    /* likewise */
    buf_fini(out);
}

static void
print_messages(size_t count, void *const *messages)
{
    struct buf out;
    json_init(&out);
    json_print(&out, json_put_messages(&out, count, messages));
}

static void
print_message(const ProtobufCMessage *message)
{
    struct buf out;
    json_init(&out);
    json_print(&out, json_put_message(&out, message));
}

/* --- for people --------------------------------------------------------------------------------*/

void
show_age(int64_t unix_ms, char ret_text[24])
{
    int64_t seconds = (clock_unix_ms() - unix_ms) / 1000;
    if (seconds < 0)
        seconds = 0;
    if (seconds < 120)
        (void)snprintf(ret_text, 24, "%" PRId64 "s", seconds); /* fits, as the others do */
    else if (seconds < 7200)
        (void)snprintf(ret_text, 24, "%" PRId64 "m", seconds / 60);
    else if (seconds < 172800)
        (void)snprintf(ret_text, 24, "%" PRId64 "h", seconds / 3600);
    else
        (void)snprintf(ret_text, 24, "%" PRId64 "d", seconds / 86400);
}

static void
print_line(const char *before, const char *text)
{
    char *shown = harmless(text);
    printf("%s%s\n", before, shown);
    free(shown);
}

static void
add_pair(struct table *table, const char *name, const char *value)
{
    table_add(table, name);
    table_add(table, value);
}

/* A number, or "-" for none. */
static void
add_pid(struct table *table, int32_t pid)
{
    if (pid == 0)
        table_add(table, "");
    else
        table_addf(table, "%" PRId32, pid);
}

void
show_version(const Remora__Admin__V1__Version *kernel, bool as_json)
{
    if (as_json) {
        struct buf out;
        json_init(&out);
        json_print(&out, buf_printf(&out, "{\"client\":\"%s\",\"kernel\":", REMORA_VERSION) &&
                             (kernel == NULL ? buf_append(&out, SLICE("null"))
                                             : json_put_message(&out, &kernel->base)) &&
                             buf_append_byte(&out, '}'));
        return;
    }
    struct table table;
    table_init(&table, 2);
    add_pair(&table, "remora", REMORA_VERSION);
    add_pair(&table, "remorad", kernel == NULL ? "not running" : kernel->version);
    table_print(&table);
    table_fini(&table);
}

void
show_status(const Remora__Admin__V1__Reply *reply, bool as_json)
{
    const Remora__Admin__V1__Status *status = reply->status;
    if (as_json) {
        print_message(&status->base);
        return;
    }
    struct table table;
    char text[24];
    table_init(&table, 2);
    add_pair(&table, "app id", status->app_id);
    add_pair(&table, "namespace", status->namespace_);
    add_pair(&table, "stage", status->stage);
    add_pair(&table, "ready", status->ready ? "yes" : "no");
    add_pair(&table, "version", reply->version->version);
    table_add(&table, "pid");
    add_pid(&table, status->pid);
    show_age(status->started_unix_ms, text);
    add_pair(&table, "up", text);
    table_add(&table, "http port");
    table_addf(&table, "%" PRIu32, status->http_port);
    table_add(&table, "workers");
    table_addf(&table, "%" PRIu32, status->workers);
    table_add(&table, "plugins");
    table_addf(&table, "%" PRIu32 " of %" PRIu32 " ready", status->plugins_ready, status->plugins);
    table_add(&table, "components");
    table_addf(&table, "%" PRIu32 " of %" PRIu32 " ready", status->components_ready,
               status->components);
    add_pair(&table, "run directory", status->run_dir);
    table_print(&table);
    table_fini(&table);
}

static void
print_components(const Remora__Admin__V1__Reply *reply)
{
    struct table table;
    table_init(&table, 7);
    static const char *const heads[] = { "NAME",   "TYPE",       "VERSION", "STATE",
                                         "PLUGIN", "GENERATION", "ERROR" };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        table_add(&table, heads[i]);
    for (size_t i = 0; i < reply->n_components; i++) {
        const Remora__Admin__V1__Component *component = reply->components[i];
        table_add(&table, component->name);
        table_add(&table, component->type);
        table_add(&table, component->version);
        table_add(&table, component->state);
        table_add(&table, component->plugin);
        table_addf(&table, "%" PRIu32, component->generation);
        table_add(&table, component->error);
    }
    table_print(&table);
    table_fini(&table);
}

void
show_components(const Remora__Admin__V1__Reply *reply, bool as_json)
{
    if (as_json)
        print_messages(reply->n_components, (void *const *)reply->components);
    else
        print_components(reply);
}

void
show_plugins(const Remora__Admin__V1__Reply *reply, bool as_json)
{
    if (as_json) {
        print_messages(reply->n_plugins, (void *const *)reply->plugins);
        return;
    }
    struct table table;
    char text[24];
    table_init(&table, 8);
    static const char *const heads[] = { "NAME", "VERSION",    "STATE",    "ROLE",
                                         "PID",  "GENERATION", "RESTARTS", "SINCE" };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        table_add(&table, heads[i]);
    for (size_t i = 0; i < reply->n_plugins; i++) {
        const Remora__Admin__V1__Plugin *plugin = reply->plugins[i];
        table_add(&table, plugin->name);
        table_add(&table, plugin->version);
        table_add(&table, plugin->state);
        table_add(&table, plugin->role);
        add_pid(&table, plugin->pid);
        table_addf(&table, "%" PRIu32, plugin->generation);
        table_addf(&table, "%" PRIu64, plugin->restarts);
        show_age(plugin->since_unix_ms, text);
        table_add(&table, text);
    }
    table_print(&table);
    table_fini(&table);
}

static void
add_types(struct table *table, const Remora__Admin__V1__Plugin *plugin)
{
    struct buf types;
    buf_init(&types, JSON_BYTES_MAX);
    bool ok = true;
    for (size_t i = 0; i < plugin->n_types; i++)
        ok = ok && buf_printf(&types, "%s%s", i == 0 ? "" : ", ", plugin->types[i]);
    ok = ok && buf_append_byte(&types, '\0');
    add_pair(table, "types", ok ? buf_slice(&types).data : "");
    buf_fini(&types);
}

static void
print_plugin(const Remora__Admin__V1__Plugin *plugin)
{
    struct table table;
    char text[24];
    table_init(&table, 2);
    add_pair(&table, "name", plugin->name);
    add_pair(&table, "version", plugin->version);
    add_pair(&table, "state", plugin->state);
    show_age(plugin->since_unix_ms, text);
    add_pair(&table, "since", text);
    add_pair(&table, "reason", plugin->reason);
    table_add(&table, "pid");
    add_pid(&table, plugin->pid);
    table_add(&table, "group");
    add_pid(&table, plugin->group);
    table_add(&table, "generation");
    table_addf(&table, "%" PRIu32, plugin->generation);
    table_add(&table, "restarts");
    table_addf(&table, "%" PRIu64, plugin->restarts);
    add_pair(&table, "last exit", plugin->last_exit);
    add_pair(&table, "sandbox", plugin->sandbox);
    add_pair(&table, "not in force", plugin->sandbox_missing);
    add_types(&table, plugin);
    add_pair(&table, "executable", plugin->executable);
    add_pair(&table, "manifest", plugin->manifest);
    table_print(&table);
    table_fini(&table);
}

/* The plugin's object with one more member. */
static void
print_plugin_json(const Remora__Admin__V1__Reply *reply)
{
    struct buf out;
    json_init(&out);
    bool ok = json_put_message(&out, &reply->plugins[0]->base);
    out.len--; /* the closing brace */
    json_print(&out,
               ok && buf_append(&out, SLICE(",\"components\":")) &&
                   json_put_messages(&out, reply->n_components, (void *const *)reply->components) &&
                   buf_append_byte(&out, '}'));
}

void
show_plugin(const Remora__Admin__V1__Reply *reply, bool as_json)
{
    const Remora__Admin__V1__Plugin *plugin = reply->plugins[0];
    if (as_json) {
        print_plugin_json(reply);
        return;
    }
    print_plugin(plugin);
    if (reply->n_components > 0) {
        printf("\n");
        print_components(reply);
    }
    if (plugin->n_lines > 0)
        printf("\nlast output:\n");
    for (size_t i = 0; i < plugin->n_lines; i++)
        print_line("  ", plugin->lines[i]);
}

void
show_lines(const Remora__Admin__V1__Reply *reply, bool as_json)
{
    if (as_json) {
        struct buf out;
        json_init(&out);
        json_print(&out, json_put_texts(&out, reply->n_lines, reply->lines));
        return;
    }
    for (size_t i = 0; i < reply->n_lines; i++)
        print_line("", reply->lines[i]);
}

void
show_swapped(const Remora__Admin__V1__Event *event, bool as_json)
{
    if (as_json) {
        print_message(&event->base);
        return;
    }
    char *name = harmless(event->name);
    printf("%s is generation %" PRIu32 " now\n", name, event->generation);
    free(name);
}

void
show_restarted(const Remora__Admin__V1__Reply *reply, bool as_json)
{
    if (as_json)
        print_message(&reply->plugins[0]->base);
    else
        print_line("restarting ", reply->plugins[0]->name);
}

static const char *
kind_word(Remora__Admin__V1__EventKind kind)
{
    if (kind == REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_PLUGIN)
        return "plugin";
    if (kind == REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_COMPONENT)
        return "component";
    if (kind == REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_CONFIGURATION)
        return "configuration";
    return kind == REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_SWAP ? "swap of" : "event of";
}

void
show_event(const Remora__Admin__V1__Event *event, bool as_json)
{
    if (as_json) {
        print_message(&event->base);
        return;
    }
    char time[CLOCK_RFC3339_BYTES];
    struct slice when = clock_rfc3339(event->unix_ms, time);
    char *name = harmless(event->name), *reason = harmless(event->reason);
    bool has_was = event->was[0] != '\0';
    printf(SLICE_FMT "  %s %s  %s%s%s  generation %" PRIu32 "%s%s\n", SLICE_ARG(when),
           kind_word(event->kind), name, event->was, has_was ? " -> " : "", event->state,
           event->generation, reason[0] == '\0' ? "" : "  ", reason);
    free(name);
    free(reason);
}
