/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory; see home.h. */
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "say.h"

enum { FILE_BYTES_MAX = 16 * 1024 };

/* --- paths -------------------------------------------------------------------------------------*/

bool
path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

const char *
path_from(struct arena *arena, const char *folder, const char *path)
{
    const char *own = getenv("HOME");
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0') && own != NULL)
        return arena_printf(arena, "%s%s", own, path + 1).data;
    if (path[0] == '/')
        return arena_str(arena, slice_str(path));
    return arena_printf(arena, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path).data;
}

const char *
path_absolute(struct arena *arena, const char *path)
{
    char *real = realpath(path, NULL);
    const char *result = NULL;
    if (real != NULL) {
        result = arena_str(arena, slice_str(real));
    } else {
        char *here = getcwd(NULL, 0);
        if (here == NULL)
            complain("the current folder: %s", strerror(errno));
        else
            result = path_from(arena, here, path);
        free(here);
    }
    free(real);
    return result;
}

/* `path` and its parents. */
static bool
make_folders(const char *path)
{
    char *part = strdup(path);
    if (part == NULL)
        abort();
    for (char *p = part + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(part, 0700); /* most exist; the last one tells */
        *p = '/';
    }
    bool ok = mkdir(part, 0700) == 0 || path_is_folder(path);
    if (!ok)
        complain("%s: %s", path, strerror(errno));
    free(part);
    return ok;
}

bool
home_find(struct arena *arena, const char *dir, struct home *ret_home)
{
    const char *data = getenv("XDG_DATA_HOME"), *own = getenv("HOME");
    if (dir == NULL && data != NULL && data[0] == '/')
        dir = arena_printf(arena, "%s/remora", data).data;
    else if (dir == NULL && own != NULL && own[0] == '/')
        dir = arena_printf(arena, "%s/.local/share/remora", own).data;
    if (dir == NULL) {
        complain("there is no place for your data: neither HOME nor XDG_DATA_HOME is set; --dir "
                 "names one");
        return false;
    }
    const char *path = path_absolute(arena, dir);
    if (path == NULL)
        return false;
    *ret_home = (struct home){
        .path = path,
        .components = arena_printf(arena, "%s/components", path).data,
        .config = arena_printf(arena, "%s/config.yaml", path).data,
    };
    return true;
}

/* --- what is written ---------------------------------------------------------------------------*/

/* A database as a connection string has it: like a URI, whose special characters are escaped. */
static bool
put_connection(struct buf *out, const struct home *home, const char *name)
{
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    bool ok = true;
    for (const char *p = home->path; *p != '\0' && ok; p++)
        ok = strchr("%?#", *p) != NULL ? buf_printf(&text, "%%%02X", (unsigned char)*p)
                                       : buf_append_byte(&text, *p);
    ok = ok && buf_printf(&text, "/data/%s", name) &&
         json_write_string(out, buf_slice(&text), false); /* a JSON string is a YAML one */
    buf_fini(&text);
    return ok;
}

/* A file that is written once, for a component, or by a function. Those of the SQLite plugin have a
 * database each: what one waits for, the others do not. */
struct default_file {
    unsigned part;
    const char *path;
    const char *comment, *name, *type;
    const char *database;                                  /* NULL: it needs none */
    bool (*put)(struct buf *out, const struct home *home); /* NULL: it is a component */
};

static bool
put_component(struct buf *out, const struct home *home, const struct default_file *file)
{
    return buf_printf(out,
                      "# %s\n"
                      "apiVersion: dapr.io/v1alpha1\n"
                      "kind: Component\n"
                      "metadata:\n"
                      "  name: %s\n"
                      "spec:\n"
                      "  type: %s\n"
                      "  version: v1\n",
                      file->comment, file->name, file->type) &&
           (file->database == NULL ||
            (buf_append(out, SLICE("  metadata:\n"
                                   "    - name: connectionString\n"
                                   "      value: ")) &&
             put_connection(out, home, file->database) && buf_append_byte(out, '\n')));
}

/* A file of its own: heartbeats and saves do not wait for each other's locks, and it may be deleted
 * while nothing runs. */
static bool
put_config(struct buf *out, const struct home *home)
{
    return buf_append(out, SLICE("# Sidecars of this machine find each other in a SQLite file, "
                                 "without a network.\n"
                                 "apiVersion: dapr.io/v1alpha1\n"
                                 "kind: Configuration\n"
                                 "metadata:\n"
                                 "  name: default\n"
                                 "spec:\n"
                                 "  nameResolution:\n"
                                 "    component: sqlite\n"
                                 "    version: v1\n"
                                 "    configuration:\n"
                                 "      connectionString: ")) &&
           put_connection(out, home, "names.db") && buf_append_byte(out, '\n');
}

/* More kinds join as plugins come to serve them. */
static const struct default_file default_files[] = {
    { .part = HOME_COMPONENTS,
      .path = "components/statestore.yaml",
      .comment = "Durable state without a server: one SQLite file. Every acknowledged write has "
                 "reached the disk.",
      .name = "statestore",
      .type = "state.sqlite",
      .database = "state.db" },
    { .part = HOME_COMPONENTS,
      .path = "components/pubsub.yaml",
      .comment = "Durable topics without a server: one SQLite file, which the sidecars share.",
      .name = "pubsub",
      .type = "pubsub.sqlite",
      .database = "pubsub.db" },
    { .part = HOME_COMPONENTS,
      .path = "components/lockstore.yaml",
      .comment = "Locks between the applications of this machine: one SQLite file, which the "
                 "sidecars share.",
      .name = "lockstore",
      .type = "lock.sqlite",
      .database = "locks.db" },
    /* Whoever maintains it writes there: see plugins/sqlite/README.md. */
    { .part = HOME_COMPONENTS,
      .path = "components/configstore.yaml",
      .comment = "Configuration without a server: one table in an SQLite file, which the sidecars "
                 "share.",
      .name = "configstore",
      .type = "configuration.sqlite",
      .database = "configuration.db" },
    { .part = HOME_COMPONENTS,
      .path = "components/echo.yaml",
      .comment = "A language model for trying things out: it says what it was told.",
      .name = "echo",
      .type = "conversation.echo" },
    { .part = HOME_CONFIG, .path = "config.yaml", .put = put_config },
};

/* Whole or not at all, and never in place of what is there. */
static bool
write_new(const char *path, struct slice content, bool *ret_is_new)
{
    char temporary[3072];
    int len = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int fd = len > 0 && (size_t)len < sizeof temporary ? mkostemp(temporary, O_CLOEXEC) : -1;
    if (fd < 0) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    bool ok = write(fd, content.data, content.len) == (ssize_t)content.len && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    *ret_is_new = ok && link(temporary, path) == 0;
    ok = *ret_is_new || (ok && errno == EEXIST);
    if (!ok)
        complain("%s: %s", path, strerror(errno));
    (void)unlink(temporary); /* a leftover is no resource file */
    return ok;
}

static bool
write_default(struct arena *arena, const struct home *home, const struct default_file *file,
              bool *ret_is_new, const char **ret_path)
{
    const char *path = arena_printf(arena, "%s/%s", home->path, file->path).data;
    struct buf content;
    *ret_path = path;
    if (access(path, F_OK) == 0)
        return true;
    buf_init(&content, FILE_BYTES_MAX);
    bool ok = file->put != NULL ? file->put(&content, home) : put_component(&content, home, file);
    if (!ok)
        complain("%s: its path is too long", path);
    ok = ok && write_new(path, buf_slice(&content), ret_is_new);
    buf_fini(&content);
    return ok;
}

bool
home_init(struct arena *arena, const struct home *home, unsigned parts,
          void (*say)(void *arg, const char *path), void *arg)
{
    const char *data = arena_printf(arena, "%s/data", home->path).data;
    if (((parts & HOME_COMPONENTS) != 0 && !make_folders(home->components)) || !make_folders(data))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(default_files); i++) {
        const char *path;
        bool is_new = false;
        if ((parts & default_files[i].part) == 0)
            continue;
        if (!write_default(arena, home, &default_files[i], &is_new, &path))
            return false;
        if (is_new)
            say(arg, path);
    }
    return true;
}
