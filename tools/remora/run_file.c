/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run files (dapr.yaml): several applications at once. A file has `version: 1`, `common` for all
 * and `apps`, a list. An application's own value goes before the common one. Paths in `common`
 * start at the file's folder, those of an application at its appDirPath.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/file.h"
#include "config/node.h"
#include "run.h"
#include "say.h"

enum { APPS_MAX = 100 };

enum field_place { EVERYWHERE, APP_ONLY };

/* Fields that are flags of the sidecar. */
static const struct field {
    const char *name;
    const char *flag;
    enum field_place place;
} fields[] = {
    { "apiListenAddresses", "dapr-listen-addresses", EVERYWHERE },
    { "appHealthCheckPath", "app-health-check-path", EVERYWHERE },
    { "appHealthProbeInterval", "app-health-probe-interval", EVERYWHERE },
    { "appHealthProbeTimeout", "app-health-probe-timeout", EVERYWHERE },
    { "appHealthThreshold", "app-health-threshold", EVERYWHERE },
    { "appMaxConcurrency", "app-max-concurrency", EVERYWHERE },
    { "appProtocol", "app-protocol", EVERYWHERE },
    { "appSSL", "app-ssl", EVERYWHERE },
    { "daprHTTPMaxRequestSize", "dapr-http-max-request-size", EVERYWHERE },
    { "daprHTTPReadBufferSize", "dapr-http-read-buffer-size", EVERYWHERE },
    { "enableApiLogging", "enable-api-logging", EVERYWHERE },
    { "enableAppHealthCheck", "enable-app-health-check", EVERYWHERE },
    { "enableProfiling", "enable-profiling", EVERYWHERE },
    { "logLevel", "log-level", EVERYWHERE },
    { "maxBodySize", "max-body-size", EVERYWHERE },
    { "placementHostAddress", "placement-host-address", EVERYWHERE },
    { "readBufferSize", "read-buffer-size", EVERYWHERE },
    { "schedulerHostAddress", "scheduler-host-address", EVERYWHERE },
    { "appChannelAddress", "app-channel-address", APP_ONLY },
    { "appPort", "app-port", APP_ONLY },
    { "daprGRPCPort", "dapr-grpc-port", APP_ONLY },
    { "daprHTTPPort", "dapr-http-port", APP_ONLY },
    { "daprInternalGRPCPort", "dapr-internal-grpc-port", APP_ONLY },
    { "metricsPort", "metrics-port", APP_ONLY },
    { "profilePort", "profile-port", APP_ONLY },
    { "unixDomainSocket", "unix-domain-socket", APP_ONLY },
};

/* Fields that are more than a flag. */
static const struct {
    const char *name;
    enum field_place place;
} other_fields[] = {
    { "appLogDestination", EVERYWHERE },
    { "configFilePath", EVERYWHERE },
    { "daprdLogDestination", EVERYWHERE },
    { "env", EVERYWHERE },
    { "resourcesPath", EVERYWHERE },
    { "resourcesPaths", EVERYWHERE },
    { "runtimePath", EVERYWHERE },
    { "appDirPath", APP_ONLY },
    { "appID", APP_ONLY },
    { "command", APP_ONLY },
};

/* A file being read. Every function that returns false has said why. */
struct reading {
    struct arena *arena;
    const char *path;   /* absolute */
    const char *folder; /* that it lies in */
    const struct home *home;
    const struct node *common;
};

static bool PRINTF_LIKE(3, 4)
    wrong(const struct reading *reading, const struct node *node, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut if too long */
    va_end(args);
    if (node != NULL)
        complain("%s: line %u: %s", reading->path, node->line, text);
    else
        complain("%s: %s", reading->path, text);
    return false;
}

/* --- values ------------------------------------------------------------------------------------*/

/* NULL in *ret_text if the map has no such field. */
static bool
get_text(const struct reading *reading, const struct node *map, const char *name,
         const char **ret_text)
{
    const struct node *node = node_get(map, slice_str(name));
    struct slice text;
    *ret_text = NULL;
    if (node == NULL)
        return true;
    if (!node_text(reading->arena, node, &text) || memchr(text.data, '\0', text.len) != NULL)
        return wrong(reading, node, "%s must be a text, it is %s", name, node_what(node));
    *ret_text = text.len == 0 ? NULL : arena_str(reading->arena, text);
    return true;
}

/* A path that must exist. */
static bool
get_path(const struct reading *reading, const struct node *map, const char *name,
         const char *folder, const char **ret_path)
{
    const char *text;
    *ret_path = NULL;
    if (!get_text(reading, map, name, &text))
        return false;
    if (text == NULL)
        return true;
    *ret_path = path_from(reading->arena, folder, text);
    if (access(*ret_path, F_OK) == 0)
        return true;
    return wrong(reading, node_get(map, slice_str(name)), "%s %s: %s", name, *ret_path,
                 strerror(errno));
}

static bool
get_texts(const struct reading *reading, const struct node *map, const char *name,
          struct text_list *ret_list)
{
    const struct node *node = node_get(map, slice_str(name));
    struct slice text;
    *ret_list = (struct text_list){ 0 };
    if (node == NULL)
        return true;
    if (node->type != NODE_LIST)
        return wrong(reading, node, "%s must be a list, it is %s", name, node_what(node));
    for (const struct node_item *item = node->items; item != NULL; item = item->next) {
        if (!node_text(reading->arena, item->value, &text) ||
            memchr(text.data, '\0', text.len) != NULL)
            return wrong(reading, item->value, "%s must be a list of texts", name);
        text_list_add(reading->arena, ret_list, slice_str(arena_str(reading->arena, text)));
    }
    return true;
}

static void
add_flag(const struct reading *reading, struct wish *wish, const char *flag, const char *value)
{
    text_list_add(reading->arena, &wish->flags,
                  arena_printf(reading->arena, "--%s=%s", flag, value));
}

/* --- one application ---------------------------------------------------------------------------*/

/* The field of the application, else the common one. */
static bool
get_merged(const struct reading *reading, const struct node *app, const char *name,
           const char **ret_text)
{
    if (!get_text(reading, app, name, ret_text))
        return false;
    return *ret_text != NULL || get_text(reading, reading->common, name, ret_text);
}

static bool
read_flags(const struct reading *reading, const struct node *app, struct wish *wish)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const char *text;
        bool ok = fields[i].place == EVERYWHERE ? get_merged(reading, app, fields[i].name, &text)
                                                : get_text(reading, app, fields[i].name, &text);
        if (!ok)
            return false;
        if (text != NULL)
            add_flag(reading, wish, fields[i].flag, text);
    }
    return true;
}

/* The paths of `map`, which start at `folder`, as flags. */
static bool
read_resources(const struct reading *reading, const struct node *map, const char *folder,
               struct wish *wish, bool *ret_found)
{
    struct text_list list;
    const char *one;
    if (!get_texts(reading, map, "resourcesPaths", &list) ||
        !get_path(reading, map, "resourcesPath", folder, &one))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        const char *path = path_from(reading->arena, folder, list.items[i].data);
        if (access(path, F_OK) != 0)
            return wrong(reading, node_get(map, SLICE("resourcesPaths")), "resourcesPaths %s: %s",
                         path, strerror(errno));
        add_flag(reading, wish, "resources-path", path);
    }
    if (one != NULL)
        add_flag(reading, wish, "resources-path", one);
    *ret_found = list.count > 0 || one != NULL;
    return true;
}

/* The application's own paths, its folder's .dapr/resources, the common ones, the data directory's:
 * the first there are. */
static bool
read_all_resources(const struct reading *reading, const struct node *app, struct wish *wish)
{
    bool found = false;
    const char *local = path_from(reading->arena, wish->folder, ".dapr/resources");
    if (!read_resources(reading, app, wish->folder, wish, &found))
        return false;
    if (found)
        return true;
    if (path_is_folder(local)) {
        add_flag(reading, wish, "resources-path", local);
        return true;
    }
    return read_resources(reading, reading->common, reading->folder, wish, &found);
}

static bool
read_config(const struct reading *reading, const struct node *app, struct wish *wish)
{
    const char *path;
    if (!get_path(reading, app, "configFilePath", wish->folder, &path))
        return false;
    if (path == NULL) {
        path = path_from(reading->arena, wish->folder, ".dapr/config.yaml");
        if (access(path, F_OK) != 0 &&
            !get_path(reading, reading->common, "configFilePath", reading->folder, &path))
            return false;
    }
    if (path != NULL)
        add_flag(reading, wish, "config", path);
    return true;
}

/* `runtimePath` as the launcher's --runtime-path. */
static bool
read_home(const struct reading *reading, const struct node *app, struct wish *wish)
{
    const char *path;
    if (!get_path(reading, app, "runtimePath", wish->folder, &path) ||
        (path == NULL &&
         !get_path(reading, reading->common, "runtimePath", reading->folder, &path)))
        return false;
    if (path == NULL)
        return true;
    struct home *home = ARENA_NEW(reading->arena, struct home);
    wish->home = home;
    bool found = home_find(reading->arena, path_from(reading->arena, path, ".dapr"), home);
    home->is_daprs = true;
    return found;
}

static bool
read_env(const struct reading *reading, const struct node *map, struct wish *wish)
{
    const struct node *env = node_get(map, SLICE("env"));
    struct slice value;
    if (env == NULL)
        return true;
    if (env->type != NODE_MAP)
        return wrong(reading, env, "env must be a map, it is %s", node_what(env));
    for (const struct node_item *item = env->items; item != NULL; item = item->next) {
        if (!node_text(reading->arena, item->value, &value) || item->key.len == 0 ||
            memchr(value.data, '\0', value.len) != NULL ||
            memchr(item->key.data, '\0', item->key.len) != NULL ||
            slice_find_byte(item->key, '=') >= 0)
            return wrong(reading, item->value, "env must be a map of texts");
        char *name = arena_str(reading->arena, item->key);
        text_list_add(
            reading->arena, &wish->env,
            arena_printf(reading->arena, "%s=%s", name, arena_str(reading->arena, value)));
    }
    return true;
}

static bool
read_log(const struct reading *reading, const struct node *app, const char *name,
         unsigned default_bits, unsigned *ret_bits)
{
    const char *text;
    if (!get_merged(reading, app, name, &text))
        return false;
    struct slice word = slice_str(text);
    *ret_bits = default_bits;
    if (slice_eq(word, SLICE("console")))
        *ret_bits = LOG_TO_CONSOLE;
    else if (slice_eq(word, SLICE("file")))
        *ret_bits = LOG_TO_FILE;
    else if (slice_eq(word, SLICE("fileAndConsole")))
        *ret_bits = LOG_TO_FILE | LOG_TO_CONSOLE;
    else if (text != NULL)
        return wrong(reading, app, "%s is %s, not console, file or fileAndConsole", name, text);
    return true;
}

static bool
read_command(const struct reading *reading, const struct node *app, struct wish *wish)
{
    struct text_list words;
    if (!get_texts(reading, app, "command", &words))
        return false;
    if (words.count == 0)
        return true;
    wish->command = ARENA_ARRAY(reading->arena, char *, words.count + 1);
    for (size_t i = 0; i < words.count; i++)
        wish->command[i] = arena_str(reading->arena, words.items[i]);
    return true;
}

static void
warn_unknown(const struct reading *reading, const struct node *map, enum field_place place)
{
    for (const struct node_item *item = map == NULL ? NULL : map->items; item != NULL;
         item = item->next) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            known = known || (fields[i].place <= place &&
                              slice_eq_nocase(item->key, slice_str(fields[i].name)));
        for (size_t i = 0; i < ARRAY_LEN(other_fields); i++)
            known = known || (other_fields[i].place <= place &&
                              slice_eq_nocase(item->key, slice_str(other_fields[i].name)));
        if (!known)
            complain("%s: line %u: " SLICE_FMT " has no effect here, going on without",
                     reading->path, item->value->line, SLICE_ARG(item->key));
    }
}

static bool
read_app(const struct reading *reading, const struct node *app, struct wish *wish)
{
    *wish = (struct wish){ .home = reading->home, .template = reading->path };
    if (app->type != NODE_MAP)
        return wrong(reading, app, "an application must be a map, it is %s", node_what(app));
    warn_unknown(reading, app, APP_ONLY);
    if (!get_path(reading, app, "appDirPath", reading->folder, &wish->folder) ||
        !get_text(reading, app, "appID", &wish->app_id))
        return false;
    if (wish->folder == NULL)
        return wrong(reading, app, "required field 'appDirPath' not found");
    if (!path_is_folder(wish->folder))
        return wrong(reading, app, "appDirPath %s is no folder", wish->folder);
    wish->folder = path_absolute(reading->arena, wish->folder);
    if (wish->folder == NULL)
        return false;
    if (wish->app_id == NULL)
        wish->app_id = strrchr(wish->folder, '/') + 1;
    return read_flags(reading, app, wish) && read_home(reading, app, wish) &&
           read_all_resources(reading, app, wish) && read_config(reading, app, wish) &&
           read_env(reading, reading->common, wish) && read_env(reading, app, wish) &&
           read_command(reading, app, wish) &&
           read_log(reading, app, "appLogDestination", LOG_TO_FILE | LOG_TO_CONSOLE,
                    &wish->app_log) &&
           read_log(reading, app, "daprdLogDestination", LOG_TO_FILE, &wish->sidecar_log);
}

/* --- the file ----------------------------------------------------------------------------------*/

static bool
read_root(struct reading *reading, const struct node *root, struct wish **ret_wishes,
          size_t *ret_count)
{
    const char *version;
    if (root == NULL || root->type != NODE_MAP)
        return wrong(reading, root, "a run file is a map with version, common and apps");
    if (!get_text(reading, root, "version", &version))
        return false;
    if (version == NULL)
        return wrong(reading, NULL, "required field 'version' not found");
    if (strcmp(version, "1") != 0)
        return wrong(reading, NULL, "version is %s, only 1 is known", version);
    reading->common = node_get(root, SLICE("common"));
    if (reading->common != NULL && reading->common->type != NODE_MAP)
        return wrong(reading, reading->common, "common must be a map");
    warn_unknown(reading, reading->common, EVERYWHERE);
    const struct node *apps = node_get(root, SLICE("apps"));
    if (apps == NULL || apps->type != NODE_LIST || apps->count == 0)
        return wrong(reading, apps, "apps must be a list of applications");
    if (apps->count > APPS_MAX)
        return wrong(reading, apps, "more than %d applications", APPS_MAX);
    *ret_wishes = ARENA_ARRAY(reading->arena, struct wish, apps->count);
    *ret_count = 0;
    for (const struct node_item *item = apps->items; item != NULL; item = item->next)
        if (!read_app(reading, item->value, &(*ret_wishes)[(*ret_count)++]))
            return false;
    return true;
}

int
run_file_read(struct arena *arena, const char *path, const struct home *home,
              struct wish **ret_wishes, size_t *ret_count)
{
    const char *absolute = path_absolute(arena, path), *words;
    struct node_error error;
    struct node *root;
    size_t len;
    if (absolute == NULL)
        return EXIT_NOT_DONE;
    if (path_is_folder(absolute))
        absolute = path_from(arena, absolute, "dapr.yaml");
    char *text = file_read(arena, absolute, &len, &words);
    if (text == NULL) {
        complain("%s: %s", absolute, words);
        return EXIT_NOT_DONE;
    }
    struct slice folder = slice_str(absolute);
    while (folder.len > 1 && folder.data[folder.len - 1] != '/')
        folder.len--;
    struct reading reading = { .arena = arena,
                               .path = absolute,
                               .folder = arena_str(arena, slice_first(folder, folder.len - 1)),
                               .home = home };
    bool ok = node_parse(arena, slice_of(text, len), 1, &root, &error);
    if (!ok)
        complain("%s: %s", absolute, error.text);
    ok = ok && read_root(&reading, root, ret_wishes, ret_count);
    free(text);
    return ok ? EXIT_DONE : EXIT_NOT_DONE;
}
