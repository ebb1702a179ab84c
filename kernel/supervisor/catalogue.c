/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds manifests and indexes them by the component types they can host: at the start, before
 * anything is configured, so it must be quick and must not fail as a whole because one plugin is
 * broken; and again when plugins come, change or go.
 */
#include "supervisor/catalogue.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

#define SCOPE "remora.supervisor"

enum { KEY_BYTES_MAX = 256 };

void
catalogue_init(struct catalogue *catalogue)
{
    *catalogue = (struct catalogue){ .count = 0 };
    arena_init(&catalogue->arena);
    map_init(&catalogue->by_type);
    map_init(&catalogue->by_name);
}

void
catalogue_fini(struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->count; i++)
        manifest_unref(catalogue->manifests[i]);
    free(catalogue->manifests);
    arena_fini(&catalogue->arena);
    map_fini(&catalogue->by_type);
    map_fini(&catalogue->by_name);
    *catalogue = (struct catalogue){ .count = 0 };
}

/* "state.redis/v1", lower case; empty if it is longer than any type is. */
static struct slice
type_key(struct slice type, struct slice version, char ret_key[KEY_BYTES_MAX])
{
    if (version.len == 0)
        version = SLICE("v1");
    if (type.len + version.len + 1 > KEY_BYTES_MAX)
        return SLICE_EMPTY;
    memcpy(ret_key, type.data, type.len);
    ret_key[type.len] = '/';
    memcpy(ret_key + type.len + 1, version.data, version.len);
    struct slice key = slice_of(ret_key, type.len + 1 + version.len);
    for (size_t i = 0; i < key.len; i++)
        if (ret_key[i] >= 'A' && ret_key[i] <= 'Z')
            ret_key[i] = (char)(ret_key[i] + 'a' - 'A');
    return key;
}

static void
index_type(struct catalogue *catalogue, struct manifest *manifest, const struct manifest_type *type)
{
    char text[KEY_BYTES_MAX];
    for (size_t i = 0; i < type->versions.count; i++) {
        struct slice key = type_key(slice_str(type->type), slice_str(type->versions.items[i]),
                                    text);
        if (key.len == 0)
            continue;
        const struct manifest *earlier = map_get(&catalogue->by_type, key);
        if (earlier == NULL)
            (void)map_put(&catalogue->by_type, key, manifest); /* there was none */
        else if (earlier != manifest)
            log_warn(SCOPE, "event=type_passed_over type=" SLICE_FMT " file=%s hosted_by=%s",
                     SLICE_ARG(key), manifest->file, earlier->file);
    }
}

/* Takes the manifest. */
static void
add(struct catalogue *catalogue, struct manifest *manifest)
{
    struct slice name = slice_str(manifest->name);
    const struct manifest *earlier = map_get(&catalogue->by_name, name);
    if (earlier != NULL || catalogue->count == LIMIT_manifests_max) {
        log_warn(SCOPE, "event=plugin_passed_over name=%s file=%s because=%s", manifest->name,
                 manifest->file, earlier == NULL ? "too many plugins" : earlier->file);
        manifest_unref(manifest);
        return;
    }
    struct manifest **manifests = realloc(catalogue->manifests,
                                          (catalogue->count + 1) * sizeof(void *));
    if (manifests == NULL)
        abort();
    manifests[catalogue->count++] = manifest;
    catalogue->manifests = manifests;
    (void)map_put(&catalogue->by_name, name, manifest); /* there was none */
    for (size_t i = 0; i < manifest->type_count; i++)
        index_type(catalogue, manifest, &manifest->types[i]);
}

static struct manifest *
find_file(const struct catalogue *catalogue, const char *path)
{
    for (size_t i = 0; i < catalogue->count; i++)
        if (strcmp(catalogue->manifests[i]->file, path) == 0)
            return catalogue->manifests[i];
    return NULL;
}

/* One that says what it said before is the same object: comparing pointers tells what has changed.
 */
static void
read_file(struct catalogue *catalogue, const struct catalogue *earlier, const char *path)
{
    struct arena arena;
    struct diag diag;
    struct manifest *manifest = NULL;
    struct manifest *before = earlier == NULL ? NULL : find_file(earlier, path);
    arena_init(&arena);
    diag_init(&diag, &arena);
    err_t err = manifest_load(path, &manifest, &diag);
    if (err != OK) {
        catalogue->broken++;
        log_error(SCOPE, "event=plugin_unreadable error=\"" SLICE_FMT "\"%s",
                  SLICE_ARG(diag.message), before == NULL ? "" : ", what it said before counts on");
    }
    if (before != NULL && (err != OK || slice_eq(before->source, manifest->source))) {
        manifest_unref(manifest);
        manifest = manifest_ref(before);
    }
    if (manifest != NULL)
        add(catalogue, manifest);
    arena_fini(&arena);
}

static int
is_not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static const char *
manifest_path(struct arena *arena, const char *folder)
{
    return arena_printf(arena, "%s/plugin.yaml", folder).data;
}

static void
each_plugin(const char *path, catalogue_folder_fn *fn, void *arg)
{
    struct arena arena;
    struct dirent **entries = NULL;
    int count = 0;
    arena_init(&arena);
    if (access(manifest_path(&arena, path), F_OK) == 0) {
        fn(arg, path);
        goto out;
    }
    count = scandir(path, &entries, is_not_hidden, alphasort);
    if (count < 0)
        log_debug(SCOPE, "event=plugin_folder_unreadable path=%s error=\"%s\"", path,
                  strerror(errno));
    for (int i = 0; i < count; i++) {
        fn(arg, arena_printf(&arena, "%s/%s", path, entries[i]->d_name).data);
        free(entries[i]);
    }
out:
    free(entries);
    arena_fini(&arena);
}

struct reading {
    struct catalogue *catalogue;
    const struct catalogue *earlier; /* NULL at first */
};

/* Most folders of a wrong path have none. */
static void
read_plugin(void *arg, const char *folder)
{
    struct reading *reading = arg;
    struct arena arena;
    arena_init(&arena);
    const char *path = manifest_path(&arena, folder);
    if (access(path, F_OK) == 0)
        read_file(reading->catalogue, reading->earlier, path);
    arena_fini(&arena);
}

static void
add_folder(struct catalogue *catalogue, const struct catalogue *earlier, const char *path)
{
    struct reading reading = { .catalogue = catalogue, .earlier = earlier };
    text_list_add(&catalogue->arena, &catalogue->folders, slice_str(path));
    each_plugin(path, read_plugin, &reading);
}

void
catalogue_add_folder(struct catalogue *catalogue, const char *path)
{
    add_folder(catalogue, NULL, path);
}

bool
catalogue_read_again(struct catalogue *catalogue)
{
    struct catalogue fresh;
    catalogue_init(&fresh);
    for (size_t i = 0; i < catalogue->folders.count; i++)
        add_folder(&fresh, catalogue, catalogue->folders.items[i].data);
    bool has_changed = fresh.count != catalogue->count;
    for (size_t i = 0; i < fresh.count && !has_changed; i++)
        has_changed = fresh.manifests[i] != catalogue->manifests[i];
    catalogue_fini(catalogue);
    *catalogue = fresh;
    return has_changed;
}

void
catalogue_each_folder(const struct catalogue *catalogue, catalogue_folder_fn *fn, void *arg)
{
    for (size_t i = 0; i < catalogue->folders.count; i++)
        each_plugin(catalogue->folders.items[i].data, fn, arg);
}

static const struct manifest *
find_type(const struct catalogue *catalogue, struct slice type, struct slice version)
{
    char text[KEY_BYTES_MAX];
    struct slice key = type_key(type, version, text);
    return key.len == 0 ? NULL : map_get(&catalogue->by_type, key);
}

const struct manifest *
catalogue_find(const struct catalogue *catalogue, struct slice type, struct slice version)
{
    const struct manifest *found = find_type(catalogue, type, version);
    struct arena scratch;
    if (found != NULL)
        return found;
    arena_init(&scratch);
    found = find_type(catalogue, manifest_any_type(type, &scratch), version);
    const char *folder = found == NULL ? NULL
                                       : manifest_types_folder(found, env_of_process(), &scratch);
    if (folder == NULL || access(folder, F_OK) != 0)
        found = NULL;
    arena_fini(&scratch);
    return found;
}

const struct manifest *
catalogue_find_name(const struct catalogue *catalogue, struct slice name)
{
    return map_get(&catalogue->by_name, name);
}

const char *
catalogue_program_folder(struct arena *arena)
{
    char *path = arena_alloc(arena, PATH_MAX);
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (len <= 0 || len == PATH_MAX - 1)
        return NULL;
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    slash[slash == path ? 1 : 0] = '\0';
    return path;
}
