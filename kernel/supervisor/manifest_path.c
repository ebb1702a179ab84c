/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that a manifest names, directly, by the metadata of components, or by a variable. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/path.h"
#include "supervisor/manifest.h"

/* As the plugin sees it, which starts in the same directory; NULL if that has gone. */
static const char *
absolute(struct slice path, struct arena *arena)
{
    if (path.data[0] == '/')
        return arena_str(arena, path);
    char *here = getcwd(NULL, 0);
    if (here == NULL)
        return NULL;
    const char *whole = arena_printf(arena, "%s/" SLICE_FMT, here, SLICE_ARG(path)).data;
    free(here);
    return whole;
}

/* Of `file:/a/b`, `file:///a/b`, `file:b`: the part between the scheme and the options. */
static struct slice
path_of_uri(struct slice uri)
{
    ptrdiff_t options = slice_find_byte(uri, '?');
    if (slice_find(uri, SLICE("mode=memory")) > options && options >= 0)
        return SLICE_EMPTY;
    if (options >= 0)
        uri = slice_first(uri, (size_t)options);
    if (slice_has_prefix_nocase(uri, SLICE("file:")))
        uri = slice_from(uri, 5);
    if (slice_has_prefix(uri, SLICE("//"))) {
        ptrdiff_t slash = slice_find_byte(slice_from(uri, 2), '/');
        return slash < 0 ? SLICE_EMPTY : slice_from(uri, 2 + (size_t)slash);
    }
    return uri;
}

/* The path, cut to its folder if that is what the manifest asks for. What lies in the root folder
 * stays a file: nobody means to open all there is. */
static const char *
opened(const struct manifest_file *file, char *path)
{
    char *slash = strrchr(path, '/');
    if (file->is_folder && slash != path)
        *slash = '\0';
    return path;
}

/* What may be something else must not be taken for a path: it may be a secret, and paths are seen
 * in command lines. */
static const char *
if_existing(const struct manifest_file *file, const char *path)
{
    struct stat seen;
    return !file->is_existing || stat(path, &seen) == 0 ? path : NULL;
}

const char *
manifest_file_of(const struct manifest_file *file, struct slice value, struct arena *arena)
{
    struct slice path = file->is_uri ? path_of_uri(slice_trim(value)) : value, decoded;
    if (file->is_uri && path_decode(arena, path, &decoded))
        path = decoded; /* else it holds a '%' that begins no escape, and is taken as it is */
    if (path.len == 0 || path.len >= PATH_MAX || slice_find_byte(path, '\0') >= 0 ||
        slice_eq(path, SLICE(":memory:")))
        return NULL;
    const char *whole = absolute(path, arena);
    return whole == NULL ? NULL : if_existing(file, whole);
}

const char *
manifest_path_of(const struct manifest_file *file, struct slice value, struct arena *arena)
{
    const char *path = manifest_file_of(file, value, arena);
    return path == NULL ? NULL : opened(file, arena_str(arena, slice_str(path)));
}

const char *
manifest_fixed_path(const struct manifest_file *file, struct env environment, struct arena *arena)
{
    const char *path = file->variable == NULL ? NULL : env_get(environment, file->variable);
    const char *home = env_get(environment, "HOME");
    if (path == NULL || path[0] == '\0')
        path = file->path;
    if (path != NULL && strncmp(path, "~/", 2) == 0)
        path = home == NULL || home[0] != '/' ? NULL
                                              : arena_printf(arena, "%s%s", home, path + 1).data;
    return path == NULL ? NULL : manifest_path_of(file, slice_str(path), arena);
}

const char *
manifest_types_folder(const struct manifest *manifest, struct env environment, struct arena *arena)
{
    if (manifest->types_folder == NULL)
        return NULL;
    const char *given = env_get(environment, manifest->types_variable);
    return given == NULL || given[0] == '\0' ? manifest->types_folder
                                             : absolute(slice_str(given), arena);
}
