/* SPDX-License-Identifier: Apache-2.0 */
/* See sockets.h. */
#include "sockets.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "../shared/memory.h"

static const char *
folder(void)
{
    const char *given = getenv("DAPR_COMPONENTS_SOCKETS_FOLDER");
    return given == NULL || given[0] == '\0' ? "/tmp/dapr-components-sockets" : given;
}

static bool
is_socket(const char *path)
{
    struct stat seen;
    return stat(path, &seen) == 0 && S_ISSOCK(seen.st_mode);
}

/* All but the last extension. */
static size_t
stem_bytes(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot == NULL ? strlen(name) : (size_t)(dot - name);
}

static char *
find(const char *name)
{
    char *path = NULL;
    DIR *dir = opendir(folder());
    if (dir == NULL)
        return NULL;
    for (struct dirent *entry; path == NULL && (entry = readdir(dir)) != NULL;) {
        const size_t len = stem_bytes(entry->d_name);
        if (len != strlen(name) || strncasecmp(entry->d_name, name, len) != 0)
            continue;
        path = memory_printf("%s/%s", folder(), entry->d_name);
        if (!is_socket(path)) {
            free(path);
            path = NULL;
        }
    }
    (void)closedir(dir); /* only read from */
    return path;
}

char *
sockets_path(struct remora_slice type)
{
    const char *dot = memchr(type.data, '.', type.len);
    if (dot == NULL)
        return NULL;
    char *name = memory_slice(
        (struct remora_slice){ dot + 1, type.len - (size_t)(dot + 1 - type.data) });
    char *path = NULL;
    if (name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL) {
        path = find(name);
        if (path == NULL)
            path = memory_printf("%s/%s.sock", folder(), name);
    }
    free(name);
    return path;
}
