/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding run directories; see locate.h. A directory is alive if somebody accepts on its admin
 * socket. Its lock would tell too, but asking for a lock could disturb a kernel that is just
 * starting; a connection that is closed again disturbs nobody.
 */
#include "locate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "say.h"

#define ADMIN_NAME "/admin.sock"
#define EVENTS_NAME "/events.sock"
#define LOCK_NAME "/lock"
#define FOLDER_PREFIX "remora-"

/* 0, or an errno. */
static int
knock(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int result = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    (void)close(fd); /* it was only asked */
    return result;
}

bool
location_is_alive(const struct location *location)
{
    return knock(location->admin_path) == 0;
}

/* "<folder><name>"; false if that is too long. */
static bool
join(const char *folder, size_t folder_len, const char *name, char ret_path[LOCATION_PATH_BYTES])
{
    int len = snprintf(ret_path, LOCATION_PATH_BYTES, "%.*s%s", (int)folder_len, folder, name);
    return len > 0 && len < LOCATION_PATH_BYTES;
}

static bool
set_folder(const char *folder, struct location *ret_location)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    return join(folder, len, ADMIN_NAME, ret_location->admin_path) &&
           join(folder, len, EVENTS_NAME, ret_location->events_path);
}

/* --- all in a folder ---------------------------------------------------------------------------*/

/* The lock is made first and never written, so its age is the kernel's. */
static void
consider(const char *base, const char *name, located_fn *each, void *arg)
{
    char folder[LOCATION_PATH_BYTES], lock[LOCATION_PATH_BYTES];
    struct location location;
    struct stat folder_info, lock_info;
    int len = snprintf(folder, sizeof folder, "%s/%s", base, name);
    if (len < 0 || (size_t)len >= sizeof folder || lstat(folder, &folder_info) != 0 ||
        !S_ISDIR(folder_info.st_mode) || folder_info.st_uid != geteuid())
        return;
    if (!join(folder, (size_t)len, LOCK_NAME, lock) || lstat(lock, &lock_info) != 0 ||
        !set_folder(folder, &location) || knock(location.admin_path) != 0)
        return;
    each(arg, &location, lock_info.st_mtim);
}

static void
search(const char *base, located_fn *each, void *arg)
{
    DIR *dir = base == NULL || base[0] != '/' ? NULL : opendir(base);
    if (dir == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, FOLDER_PREFIX, sizeof FOLDER_PREFIX - 1) == 0)
            consider(base, entry->d_name, each, arg);
    (void)closedir(dir); /* only read from */
}

void
locate_all(const char *run_dir, located_fn *each, void *arg)
{
    if (run_dir != NULL) {
        char *path = realpath(run_dir, NULL);
        search(path, each, arg);
        free(path);
        return;
    }
    const char *own = getenv("XDG_RUNTIME_DIR");
    search(own, each, arg);
    if (own == NULL || strcmp(own, "/run/remora") != 0)
        search("/run/remora", each, arg);
    if (own == NULL || strcmp(own, "/tmp") != 0)
        search("/tmp", each, arg);
}

struct newest {
    struct timespec made;
    struct location location;
    bool is_found;
};

static bool
is_newer(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static void
keep_newest(void *arg, const struct location *location, struct timespec made)
{
    struct newest *newest = arg;
    if (!newest->is_found || is_newer(made, newest->made))
        *newest = (struct newest){ .made = made, .location = *location, .is_found = true };
}

/* --- what was named ----------------------------------------------------------------------------*/

/* The feed lies beside. */
static enum found
at_socket(const char *path, struct location *ret_location)
{
    const char *slash = strrchr(path, '/');
    struct location location;
    int result = strlen(path) < LOCATION_PATH_BYTES ? knock(path) : ENAMETOOLONG;
    if (result != 0) {
        complain("%s: %s", path, strerror(result));
        return FOUND_BROKEN;
    }
    (void)snprintf(location.admin_path, sizeof location.admin_path, "%s", path); /* fits */
    if (!join(path, slash == NULL ? 0 : (size_t)(slash - path),
              slash == NULL ? &EVENTS_NAME[1] : EVENTS_NAME, location.events_path))
        location.events_path[0] = '\0'; /* it cannot be dialled, which is said when it is */
    *ret_location = location;
    return FOUND;
}

static enum found
in_run_dir(const char *given, struct location *ret_location)
{
    struct newest newest = { .is_found = false };
    enum found found = FOUND_BROKEN;
    char *path = realpath(given, NULL);
    if (path == NULL) {
        complain("%s: %s", given, strerror(errno));
        return found;
    }
    if (set_folder(path, ret_location) && access(ret_location->admin_path, F_OK) == 0) {
        found = at_socket(ret_location->admin_path, ret_location);
        goto out;
    }
    search(path, keep_newest, &newest);
    if (newest.is_found) {
        *ret_location = newest.location;
        found = FOUND;
    } else {
        complain("%s: no sidecar of yours runs here", given);
    }
out:
    free(path);
    return found;
}

enum found
locate(const char *socket, const char *run_dir, struct location *ret_location)
{
    if (socket != NULL)
        return at_socket(socket, ret_location);
    if (run_dir != NULL)
        return in_run_dir(run_dir, ret_location);
    struct newest newest = { .is_found = false };
    locate_all(NULL, keep_newest, &newest);
    *ret_location = newest.location;
    return newest.is_found ? FOUND : FOUND_NONE;
}
